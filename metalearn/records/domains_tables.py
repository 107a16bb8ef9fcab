"""The section of RESULTS.md about domain adaptation, and its numbers as CSV.

The same records give the same bytes.
"""

from pathlib import Path
from typing import Any

import numpy as np

from metalearn.domains.deep.registry import DEEP
from metalearn.domains.registry import METHODS
from metalearn.records.cells import NONE, shown
from metalearn.records.commands import commands
from metalearn.records.domains import SHARES
from metalearn.records.domains_plots import domains_plot_name
from metalearn.records.domains_published import (
    PublishedDomains,
    published_of,
    read_published_domains,
)
from metalearn.records.domains_rows import Choice, DomainsRow, choices, domains_rows, of_defaults
from metalearn.records.draws import estimate
from metalearn.records.export import csv_text
from metalearn.records.labelled_tables import short_commit
from metalearn.records.markdown import table

PAPERS = {name: method.source for name, method in METHODS.items()}
PAPERS |= {name: method.source for name, method in DEEP.items()}
FIRST = {True: "last update %", False: "defaults %"}  # of a body that is trained, or of settings
SAID = "What methods say of themselves, with their default settings in the first draw:"
INTRO = """## Domain adaptation

Labelled images of the source, unlabelled ones of the target, by `experiments.adapt`. Each method
adapts the same features and the same classifier is fitted, or (tables that say `trained`) each
trains the same body by the same recipe; then both domains' test images are classified. Draws
(seeds) are the same for all lines of a table. Every number is in `results/domains.csv`.

- **target %**: accuracy of the target's test images with the method's default settings, of a body
  that is trained after the last update; mean over draws. In brackets the gain over the source alone
  (`none`, `source_only`) on the same draws, in points ± its 95 % confidence interval (Student's t
  over draws). Draws are of training images, or of a training's seed: the interval does not hold
  what other test images would change. **negative**: all of the interval is below 0.
  Methods that begin from the source alone begin from its last state.
- **published %**: of the same method on the same data sets by others; where, is in
  `results/published_domains.csv`. Of trained bodies: LeNet, no augmentation, some 50,000 updates,
  and the state that is best by the target's test labels, so the **oracle**'s is what to compare
  with. Of the nearest image: 1,800 images of USPS and 2,000 of MNIST, drawn once, those that are
  adapted to being the test.
- **source %**: of the source's test images, by the same adapted classifier, which is not told where
  an image is from.
- **distance**: proxy A-distance of the adapted training images, 0 (alike) to 2; that of `none` or
  `source_only` is before adaptation. Of trained bodies each domain's images have its own running
  statistics, as in training. It tells nothing of methods that centre both domains by these images
  (`recentre`, `z_score`, `coral` and others): the halves that its classifier is fitted to and
  tested on then lie on opposite sides, and it is 0 or nearly 2 by the halves that are drawn.
- **adapting, s**: of a body that is trained, its training, without that of the source alone where
  it begins from one.
- **by a validator**: of one method, what a validator without labels of the target chooses among
  its settings, or among the states that training passes through; `oracle` as below.
- **chosen by**: what a validator without labels of the target chooses among all lines and their
  settings in each draw, and what that reaches; the `oracle` looks at the target's test labels, and
  is what no choice can surpass. Of trained bodies `source` and `dev` are of the source's images by
  the target's running statistics, which all methods but `source_only` have.
"""


def domains_markdown(root: Path) -> str:
    """The section; empty without a record.

    Raises:
      UserError: a file that is no record, or two of the same test.
    """
    published = read_published_domains(root)
    sections = [_section(title, rows, published) for title, rows in domains_rows(root).items()]
    return "\n".join([INTRO, *sections]) if sections else ""


def _section(title: str, rows: list[DomainsRow], published: list[PublishedDomains]) -> str:
    test = rows[0].record.test
    said = f"{test.draws} draws; {test.source_images} and {test.target_images} test images.\n"
    lines = [{"#": str(i)} | cells for i, cells in enumerate(lines_of(rows, published), 1)]
    picture = f"![accuracy of the target](results/plots/{domains_plot_name(title)})\n"
    made = commands([[row.record.provenance.command] for row in rows])
    chosen = [table(some) for some in (kept_lines(rows), choice_lines(rows)) if some]
    return "\n".join(
        [f"### {title}\n", said, table(lines), *notes_of(rows), *chosen, picture, made]
    )


def lines_of(
    rows: list[DomainsRow], published: list[PublishedDomains] | None = None
) -> list[dict[str, str]]:
    """The cells of each line, the best accuracy in the target in bold.

    Args:
      rows: of one table.
      published: accuracies of others; without any of these methods there is no column of them.
    """
    best = max(row.target.mean() for row in rows)
    others = [published_of(row.record, published or []) for row in rows]
    found = []
    for row, other in zip(rows, others, strict=True):
        means = {name: of_defaults(row.record, name).mean() for name in (*SHARES, "distance")}
        accuracy = shown(row.target.mean(), 2, 100)
        if row.target.mean() == best:
            accuracy = f"**{accuracy}**"
        origin = row.record.provenance
        cells = {"method": row.said, "published by": PAPERS[row.name] or NONE}
        cells |= {"target %": f"{accuracy}{_gain(row)}"}
        cells |= {"published %": other or NONE} if any(others) else {}
        cells |= {"macro recall %": shown(means["target_recall"], 2, 100)}
        cells |= {"macro F1 %": shown(means["target_f1"], 2, 100)}
        cells |= {"source %": shown(means["source_accuracy"], 2, 100)}
        cells |= {"source macro recall %": shown(means["source_recall"], 2, 100)}
        cells |= {"source macro F1 %": shown(means["source_f1"], 2, 100)}
        cells |= {"distance": shown(means["distance"], 2)}
        cells |= {"adapting, s": _seconds(np.median(of_defaults(row.record, "adapt_s")))}
        found.append(cells | {"device": origin.device, "commit": short_commit(origin.commit)})
    return found


def _gain(row: DomainsRow) -> str:
    """` (+4.20 ± 0.51)`, with **negative** where it is; nothing for the source alone."""
    if row.gains is None:
        return ""
    found = row.gain
    mean = f"{100 * row.gains.mean():+.2f}"
    if found is None:
        return f" ({mean})"
    negative = ", **negative**" if found.negative else ""
    return f" ({mean} ± {100 * (found.high - found.mean):.2f}{negative})"


def kept_lines(rows: list[DomainsRow]) -> list[dict[str, str]]:
    """The cells of each method with several settings or states: what validators choose of them."""
    found = []
    for row in rows:
        if len(row.record.test.choices) < 2:
            continue
        cells = {"method": row.said, FIRST[row.record.trained]: shown(row.target.mean(), 2, 100)}
        cells |= {f"by {each.by} %": shown(each.accuracy.mean(), 2, 100) for each in choices([row])}
        found.append(cells)
    return found


def notes_of(rows: list[DomainsRow]) -> list[str]:
    """What methods say of the first draw, a paragraph; nothing if none says anything."""
    said = [
        f"- {row.said}: {row.record.measured.notes[0][0]}"
        for row in rows
        if row.record.measured.notes and row.record.measured.notes[0][0]
    ]
    return ["\n".join([f"{SAID}\n", *said, ""])] if said else []


def choice_lines(rows: list[DomainsRow]) -> list[dict[str, str]]:
    """The cells of each validator, and of the oracle beside them."""
    return [_choice(each, rows) for each in choices(rows)]


def _choice(choice: Choice, rows: list[DomainsRow]) -> dict[str, str]:
    draws = rows[0].record.test.draws
    found = estimate(choice.accuracy)
    width = "" if found.ci95 is None else f" ± {100 * found.ci95:.2f}"
    return {
        "chosen by": choice.by,
        "target %": f"{shown(found.mean, 2, 100)}{width}",
        "most often": f"{choice.often} ({choice.times} of {draws})",
    }


def domains_csv(root: Path) -> str:
    """A line for each method and choice of settings; empty without a record.

    Validators that a record lacks have an empty cell.

    Raises:
      UserError: a file that is no record, or two of the same test.
    """
    tables = domains_rows(root)
    every = [row for rows in tables.values() for row in rows]
    validators = list(dict.fromkeys(name for row in every for name in row.record.test.validators))
    return csv_text(
        [
            _csv_line(title, row, place, validators)
            for title, rows in tables.items()
            for row in rows
            for place in range(len(row.record.test.choices))
        ]
    )


def _csv_line(title: str, row: DomainsRow, place: int, validators: list[str]) -> dict[str, Any]:
    (test, measured) = (row.record.test, row.record.measured)
    line: dict[str, Any] = {"table": title, "method": row.said, "settings": test.choices[place]}
    line |= {"draws": test.draws, "seed": row.record.config.seed}
    for name in (*SHARES, "distance", "adapt_s", "fit_s"):
        found = [draw[place] for draw in getattr(measured, name)]
        line[name] = "" if None in found else round(float(np.mean(found)), 6)
    gain = row.gain if place == 0 else None
    line |= {"gain": "", "gain_low": "", "gain_high": "", "negative": ""}
    if gain is not None:
        line |= {"gain": round(gain.mean, 6), "negative": int(gain.negative)}
        line |= {"gain_low": round(gain.low, 6), "gain_high": round(gain.high, 6)}
    scores = dict(
        zip(test.validators, np.array(measured.validators)[:, place].mean(0), strict=True)
    )
    for name in validators:
        line[f"by_{name}"] = round(float(scores[name]), 6) if name in scores else ""
    origin = row.record.provenance
    return line | {"device": origin.device, "commit": origin.commit}


def _seconds(value: float) -> str:
    """Two digits, or whole seconds."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
