"""RESULTS.md: a summary, then a table for each dataset; the same records give the same bytes."""

import re
from collections import Counter
from pathlib import Path

from metalearn.records.active_tables import active_markdown
from metalearn.records.cells import cells, queries_of
from metalearn.records.commands import commands
from metalearn.records.domains_tables import domains_markdown
from metalearn.records.findings import filled, named_records
from metalearn.records.labelled_tables import labelled_markdown, short_commit
from metalearn.records.markdown import table
from metalearn.records.named_numbers import named_numbers
from metalearn.records.names import file_name
from metalearn.records.personal_tables import personal_markdown
from metalearn.records.points import PLOTS, kinds, points
from metalearn.records.published import Published
from metalearn.records.report import Row, beside, load
from metalearn.records.summary import summary

INTRO = """# Results

Written by `python -m experiments.tables` from the records in `results/`; do not edit. What was
found, and what these numbers do not say, is in [docs/findings.md](docs/findings.md). Every number
of every row (seeds, calibration, accuracy before adaptation, times, memory, device, commit) is in
`results/table.csv`.

Within a run the validation classes pick the checkpoint; test classes are touched once. Below each
table are the lists of test episodes, by a hash of the images' positions in the test split: methods
tested on one list of one data set are tested on the very same images. A command makes its record
again at the record's commit: recipes have changed since.

- **inductive**, **transductive**: accuracy in % ± its 95 % confidence interval over episodes. A
  transductive prediction depends on the other queries of its episode, which was found out by taking
  them away. In brackets the normalisation at test, and with several seeds the standard deviation of
  the accuracy between them, in points: the interval does not contain it.
- **running** statistics are those of training batches, augmented as in training; **running, clean**
  (ᶜ in the summary) those of clean images, as they were measured at first, under which a network
  loses accuracy where training images were cropped.
- **method**: in brackets what of its head is a variant, `simpleshot (l2)`.
- **trained on**: classes or episodes, and updates; `16000 + 1500` are those of the body that the
  training began from, and its own.
- **test**: with 15 queries a class and 10,000 episodes, where nothing else is said.
- **published**: numbers of others for the same method, ways and shots, on the backbone nearest to
  ours (named where its name is not the same). Their episodes, recipes and budgets differ:
  `results/published.csv` says how.

CIFAR-100 holds some images twice. 6 of the 12,000 test images of CIFAR-FS also occur in its
training split and 1 in its validation split, 1 test image of FC100's in its training split, none of
Omniglot's; of their validation images 8 and 2 occur in training (`python -m experiments.overlap
--dataset=cifar_fs` names them). The splits are used as published.
"""

SUMMARY = """## Summary

Of each method's rows below those without ᶜ, of these those with most seeds, and of these the most
accurate; 5-way, 15 queries a class, at least 600 episodes: inductive / transductive, each with a
published number for that kind of test in brackets (one whose kind is unknown stands with the last).
ᵇ began from a trained body, which the published number may not have; ᶜ has running statistics of
clean images; ᵛ is a variant of the method, as no other has been measured; ¹ is one seed.
"""


def markdown(root: Path) -> str:
    """RESULTS.md: how to read it, a summary, a table for each dataset, and those of other records.

    Raises:
      UserError: a file that is no record, or a wrong row of published.csv.
    """
    datasets, published = load(root)
    lines = summary(datasets, published)
    best = [SUMMARY, table(lines)] if lines else []
    sections = [_section(name, rows, published) for name, rows in datasets.items()]
    written = (labelled_markdown, personal_markdown, active_markdown, domains_markdown)
    others = [text for section in written if (text := section(root))]
    body = "\n".join([*best, *sections, *others])
    return "\n".join([INTRO, contents(body), body])


def contents(text: str) -> str:
    """Links to a text's sections, a line each of the second level with those of the third."""
    listed: list[list[str]] = []
    seen: Counter[str] = Counter()
    for heading in (line for line in text.splitlines() if line.startswith(("## ", "### "))):
        (level, title) = heading.split(" ", 1)
        # As GitHub names its anchors, those of the same title by a number
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        link = f"[{title}](#{anchor}{f'-{seen[anchor]}' if seen[anchor] else ''})"
        seen[anchor] += 1
        if level == "##" or not listed:
            listed.append([])
        listed[-1].append(link)
    lines = [f"- {first}{': ' if rest else ''}{'; '.join(rest)}\n" for first, *rest in listed]
    return "".join(lines)


def findings(root: Path) -> str:
    """docs/findings.md: `findings.md` in root with its numbers filled in; empty without one.

    Raises:
      UserError: a file that is no record, or a name in the text without a record.
    """
    named = named_records(root, load(root)[0])
    text = filled(root / "findings.md", named, named_numbers(root))
    origin = "from `results/findings.md`; numbers are of records, unless the text names a commit"
    said = f"Written by `python -m experiments.tables` {origin}."
    return f"# Findings\n\n{said}\n\n{text}" if text else ""


def _section(name: str, rows: list[Row], published: list[Published]) -> str:
    parts = [f"## {name}\n"]
    if not rows:
        known = sum(p.dataset == name for p in published)
        return "\n".join(
            [
                *parts,
                f"no run recorded yet; `results/published.csv` has {known} published numbers\n",
            ]
        )
    lines = [{"#": str(i)} | cells(row, published) for i, row in enumerate(rows, 1)]
    made = [[record.provenance.command for record in row.records] for row in rows]
    commits: dict[str, list[str]] = {}
    for record in (record for row in rows for record in row.records):
        found = commits.setdefault(record.provenance.command, [])
        found.append(short_commit(record.provenance.commit))
    parts += [table(lines), _episodes(rows), commands(made, commits)]
    parts += [
        f"![{PLOTS[kind]}](results/plots/{file_name(name)}-{kind}.svg)\n"
        for kind in kinds(points(rows))
    ]
    shown = {p for row in rows for p in beside(row, published)}
    rest = [p for p in published if p.dataset == name and p not in shown]
    for external in (False, True):
        listed = [
            _published_cells(p) for p in rest if p.protocol.startswith("external data") is external
        ]
        if listed:
            what = (
                "with external data, not to be compared"
                if external
                else "not beside a measurement above"
            )
            parts.append(
                f"<details><summary>Published, {what} "
                f"({len(listed)})</summary>\n\n{table(listed)}\n</details>\n"
            )
    return "\n".join(parts)


def _published_cells(p: Published) -> dict[str, str]:
    return {
        "method": p.method,
        "backbone": p.backbone,
        "test": f"{p.ways}-way {p.shots}-shot",
        "accuracy %": p.number,
        "transductive": p.transductive,
        "kind": p.kind,
        "protocol": p.protocol,
        "source": p.source,
    }


def _episodes(rows: list[Row]) -> str:
    lists = {
        f"{r.config.ways}-way {r.config.shots}-shot, {queries_of(r)}: {r.config.episodes} episodes "
        "of seed "
        f"{r.config.eval_seed}, `{r.test.episode_hash}`": None
        for row in rows
        for r in row.records
    }
    return "Test episodes:\n\n" + "".join(f"- {line}\n" for line in lists)
