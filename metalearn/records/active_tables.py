"""The section of RESULTS.md about active learning, and its numbers as CSV.

The same records give the same bytes.
"""

from pathlib import Path
from typing import Any

import numpy as np

from metalearn.records.active_plots import active_plot_name
from metalearn.records.active_rows import (
    ActiveRow,
    active_rows,
    aim_of,
    area,
)
from metalearn.records.cells import NONE, shown
from metalearn.records.commands import commands
from metalearn.records.draws import Estimate, estimate
from metalearn.records.export import csv_text
from metalearn.records.labelled_tables import short_commit
from metalearn.records.markdown import table

INTRO = """## Active learning

Labels are asked for in rounds, from none, by `experiments.active`; a strategy chooses the images, a
classifier is fitted to the labelled ones from its start, and tested on the test images. Draws
(seeds) are the same for all lines of a table: they draw the pool, where it is not the whole
training split, and all that a strategy draws. Every number is in `results/active.csv`.

- **a number of labels**: accuracy in %, mean over draws; in brackets the gain over random choices
  on the same draws, in points ± its 95 % confidence interval (Student's t over draws); in bold the
  best of a column.
- **labels asked for**: in the mean; only where answers that hardly change end the asking
  (`--stop`).
- **area under curve %**: mean accuracy over the logarithm of labels, and its gain.
- **labels for …**: how many reach the accuracy that random choices have with so many.
- **choosing, s**: median seconds of a round, the first draw left out, which compiles; on a shared
  machine that had other work at times.
"""


def active_markdown(root: Path) -> str:
    """The section; empty without a record.

    Raises:
      UserError: a file that is no record, or two of the same test.
    """
    sections = [_section(title, rows) for title, rows in active_rows(root).items()]
    return "\n".join([INTRO, *sections]) if sections else ""


def _section(title: str, rows: list[ActiveRow]) -> str:
    test = rows[0].record.test
    said = (
        f"{test.draws} draws, {test.images} test images; accuracy in % by labels (gain over random "
        "choices):\n"
    )
    lines = [{"#": str(i)} | cells for i, cells in enumerate(lines_of(rows), 1)]
    picture = f"![accuracy against labels](results/plots/{active_plot_name(title)})\n"
    made = commands([[row.record.provenance.command] for row in rows])
    return "\n".join([f"### {title}\n", said, table(lines), picture, made])


def lines_of(rows: list[ActiveRow]) -> list[dict[str, str]]:
    """The cells of each line, the best of each column in bold."""
    budgets = rows[0].record.test.budgets
    means = np.array([row.accuracy.mean(0) for row in rows])
    found = []
    for row, own in zip(rows, means, strict=True):
        cells = {"strategy": row.name}
        for place, budget in enumerate(budgets):
            mean = shown(own[place], 2, 100)
            best = own[place] == means[:, place].max()
            gain = None if row.gains is None else estimate(row.gains[:, place])
            cells[str(budget)] = _with_gain(f"**{mean}**" if best else mean, gain)
        found.append(cells | _others(row, budgets))
    return found


def _others(row: ActiveRow, budgets: list[int]) -> dict[str, str]:
    gains = None if row.gains is None else estimate(area(budgets, row.gains))
    needed = row.labels_needed
    ratio = NONE if needed is None else f"{needed:.0f} ({needed / aim_of(budgets):.2f})"
    ratio = f"at most {ratio}" if needed == budgets[0] else ratio
    (measured, origin) = (row.record.measured, row.record.provenance)
    cells = {}
    if row.record.test.stop:
        spent = [draw[-1] for draw in measured.labels] or [budgets[-1]]
        cells = {"labels asked for": f"{np.mean(spent):.0f}"}
    return cells | {
        "area under curve %": _with_gain(shown(area(budgets, row.accuracy).mean(), 2, 100), gains),
        f"labels for random's {aim_of(budgets)}": ratio,
        "choosing, s": f"{np.median(seconds_of(measured.pick_s)):.2g}",
        "device": origin.device,
        "commit": short_commit(origin.commit),
    }


def _with_gain(mean: str, gain: Estimate | None) -> str:
    """`45.10 (+4.20 ± 0.51)`, or the mean alone."""
    if gain is None:
        return mean
    width = "" if gain.ci95 is None else f" ± {100 * gain.ci95:.2f}"
    return f"{mean} ({100 * gain.mean:+.2f}{width})"


def active_csv(root: Path) -> str:
    """A line for each strategy and number of labels; empty without a record.

    Raises:
      UserError: a file that is no record, or two of the same test.
    """
    return csv_text(
        [
            _csv_line(title, row, place)
            for title, rows in active_rows(root).items()
            for row in rows
            for place in range(len(row.record.test.budgets))
        ]
    )


def _csv_line(title: str, row: ActiveRow, place: int) -> dict[str, Any]:
    (test, measured) = (row.record.test, row.record.measured)
    own = row.accuracy[:, place]
    accuracy = estimate(own)
    gain = None if row.gains is None else estimate(row.gains[:, place])
    agreement = [draw[place - 1] for draw in measured.agreement] if place else []
    line = {"table": title, "strategy": row.name, "labels": test.budgets[place]}
    line |= {"draws": test.draws, "seed": row.record.config.seed}
    line |= {"accuracy": _rounded(accuracy.mean), "ci95": _rounded(accuracy.ci95)}
    line |= {"lowest": _rounded(own.min()), "highest": _rounded(own.max())}
    line |= {"macro_recall": _rounded(np.mean([d[place] for d in measured.macro_recall]))}
    line |= {"gain": _rounded(gain and gain.mean), "gain_ci95": _rounded(gain and gain.ci95)}
    known = [draw[place] for draw in measured.labels] or [test.budgets[place]]
    line |= {"asked": _rounded(np.mean(known))}
    line |= {"classes": _rounded(np.mean([draw[place] for draw in measured.classes]))}
    line |= {"agreement": _rounded(np.mean(agreement) if agreement else None)}
    for name in ("pick_s", "fit_s"):
        seconds = seconds_of(getattr(measured, name))
        line[name] = round(float(np.median(seconds[:, place])), 4)
    origin = row.record.provenance
    return line | {"device": origin.device, "commit": origin.commit}


def seconds_of(draws: list[list[float]]) -> np.ndarray:
    """[draws, rounds], without the first draw, which compiles, where there are others."""
    return np.array(draws)[min(1, len(draws) - 1) :]


def _rounded(value: float | np.floating | None) -> float | None:
    return None if value is None else round(float(value), 6)
