"""The section of RESULTS.md about labelled images, and every number of it as CSV.

The same records give the same bytes.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metalearn.records.cells import NONE, shown
from metalearn.records.commands import commands
from metalearn.records.export import csv_text
from metalearn.records.labelled import LabelledRecord
from metalearn.records.labelled_points import PLOTS, labels_of, lines_of, plot_name
from metalearn.records.labelled_rows import LabelledRow, data_of, labelled_rows, updates_of
from metalearn.records.markdown import table

INTRO = """## Labelled images

A row is a classifier of fixed classes: they are the same in training and test. Of a dataset whose
test classes are new, these are learned from one half of each class's images and tested on the other
(its validation classes, where a title says so). Every number of every record is in
`results/labelled.csv`.

- **data**: what the body saw before these labels; on base classes it was trained here.
- **labels a class**: images a class that were trained on. Those of a seed are drawn by it.
- **accuracy %**: of one seed, with its 95 % bootstrap interval over test images; of n seeds, the
  median (min to max). Other numbers are medians too.
- **n**: seeds. In the tables by labels a class, bold compares lines with as many seeds.
- **before %**: accuracy before training: of the probe that a classifier begins as, or of random
  weights.
- **seconds**: of training, without the features of a frozen body, which are computed once and kept;
  on a shared machine that had other work at times, so they tell orders of magnitude.
"""


def labelled_markdown(root: Path) -> str:
    """The section about labelled images; empty without a record.

    Raises:
      UserError: a file that is no record, or two of the same test.
    """
    tables = labelled_rows(root)
    sections = [_section(title, rows) for title, rows in tables.items()]
    return "\n".join([INTRO, *sections]) if sections else ""


def _section(title: str, rows: list[LabelledRow]) -> str:
    parts = [f"### {title}\n"]
    if len(labels_of(rows)) > 1:
        parts += [
            "Accuracy in %, medians, by labels a class; in bold the best of those with most seeds "
            "(n, where there are fewer):\n",
            table(_pivot(rows, _accuracy_of, max)),
            "Seconds of training, medians; in bold the least:\n",
            table(_pivot(rows, _seconds_of, min)),
            *(
                f"![{said}](results/plots/{plot_name(title, kind)})\n"
                for kind, said in PLOTS.items()
            ),
        ]
    parts.append(table([{"#": str(i)} | _cells(row) for i, row in enumerate(rows, 1)]))
    parts.append(commands([[r.provenance.command for r in row.records] for row in rows]))
    return "\n".join(parts)


def _pivot(
    rows: list[LabelledRow], value_of: Callable[[LabelledRow], str], best: Callable[..., str]
) -> list[dict[str, str]]:
    """A line for each strategy and body, a column for each number of labels."""
    columns = labels_of(rows)
    lines = lines_of(rows)
    cells = {
        name: {row.labels: value_of(row) for row in of_line} for name, of_line in lines.items()
    }
    seeds = {
        name: {row.labels: len(row.records) for row in of_line} for name, of_line in lines.items()
    }
    most = {labels: max(of.get(labels, 0) for of in seeds.values()) for labels in columns}
    winners = {
        labels: best(
            (of[labels] for name, of in cells.items() if seeds[name].get(labels) == most[labels]),
            key=float,
        )
        for labels in columns
    }
    found = []
    for name, of in cells.items():
        line = {"strategy, body": name}
        for labels, winner in winners.items():
            cell = of.get(labels, NONE)
            fewer = labels in of and seeds[name][labels] < most[labels]
            cell = f"**{cell}**" if cell == winner and not fewer else cell
            line[str(labels or "all")] = f"{cell} (n {seeds[name][labels]})" if fewer else cell
        found.append(line)
    return found


def _accuracy_of(row: LabelledRow) -> str:
    return shown(row.middle("accuracy"), 2, 100)


def _seconds_of(row: LabelledRow) -> str:
    seconds = row.middle("adapt_s")
    return shown(seconds, 2 if seconds is not None and seconds < 10 else 1)


def _cells(row: LabelledRow) -> dict[str, str]:
    """The cells of a line of the full table."""
    first = row.records[0].measured
    trained = f"{counted(first.trained_parameters)} of {counted(first.parameters)}"
    return {
        "strategy": row.strategy,
        "body": row.body,
        "data": row.data,
        "labels a class": str(row.labels or "all"),
        "updates": updates_of(row.records[0]),
        "trainable parameters": trained,
        "accuracy %": _with_range(row),
        "macro recall %": shown(row.middle("macro_recall"), 2, 100),
        "macro F1 %": shown(row.middle("macro_f1"), 2, 100),
        "ECE %": shown(row.middle("ece"), 1, 100),
        "before %": shown(row.middle("accuracy_before"), 2, 100),
        "seconds": _seconds_of(row),
        "n": str(len(row.records)),
        "device": _of_all(row, "device"),
        "commit": _of_all(row, "commit", short_commit),
    }


def _with_range(row: LabelledRow) -> str:
    """`72.94 (71.00 to 74.94)`: one seed's interval over images, or the range of several seeds."""
    values = row.values("accuracy")
    first = row.records[0].measured
    ends = (first.ci95_low, first.ci95_high)
    if len(values) > 1:
        ends = (min(values), max(values))
    low, high = (shown(end, 2, 100) for end in ends)
    return f"{_accuracy_of(row)} ({low} to {high})"


def counted(number: int) -> str:
    """`1.03 M`, `103.8 k` or `650`."""
    if number >= 1_000_000:
        return f"{number / 1_000_000:.2f} M"
    return f"{number / 1000:.1f} k" if number >= 1000 else str(number)


def short_commit(commit: str) -> str:
    """Its first seven digits, with `+` if the code had changes."""
    return commit[:7] + ("+" if commit.endswith("+") else "")


def _of_all(row: LabelledRow, field: str, short: Callable[[str], str] = str) -> str:
    """The distinct values of a field of the records' provenance."""
    return ", ".join(sorted({short(getattr(r.provenance, field)) for r in row.records}))


def labelled_csv(root: Path) -> str:
    """A line for each record, with all that was measured as in its file; empty without a record.

    Raises:
      UserError: a file that is no record, or two of the same test.
    """
    lines = [
        _csv_line(title, number, row, record)
        for title, rows in labelled_rows(root).items()
        for number, row in enumerate(rows, 1)
        for record in row.records
    ]
    return csv_text(lines)


def _csv_line(title: str, number: int, row: LabelledRow, record: LabelledRecord) -> dict[str, Any]:
    config = record.config
    line: dict[str, Any] = {"table": title, "row": number}
    line |= {"strategy": row.strategy, "body": row.body, "data": data_of(record)}
    line |= {"labels": config.labels or "all", "seed": config.seed, "steps": config.steps}
    line |= {"all_steps": updates_of(record), "precision": config.precision}
    line |= dataclasses.asdict(record.test) | dataclasses.asdict(record.measured)
    return line | {"device": record.provenance.device, "commit": record.provenance.commit}
