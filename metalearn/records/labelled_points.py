"""What the plots of labelled images show: lines of points, each with its range over seeds."""

import hashlib
import math
from typing import NamedTuple

from metalearn.records.labelled_rows import LabelledRow
from metalearn.records.names import file_name

PLOTS = {  # of each table with several numbers of labels, in results/plots, and what they show
    "accuracy": "accuracy against labels a class",
    "seconds": "accuracy against seconds of training",
}


class LabelledPoint(NamedTuple):
    """A row in a plot.

    Attributes:
      labels: images a class; 0 for all.
      accuracy, low, high: median, least and most over seeds, in percent.
      seconds: of training, median.
    """

    labels: int
    accuracy: float
    low: float
    high: float
    seconds: float


def plot_name(title: str, kind: str) -> str:
    """The name of a plot's file."""
    return f"labelled-{file_name(title)}-{kind}.svg"


def labels_of(rows: list[LabelledRow]) -> list[int]:
    """The numbers of labels a class of a table, from few to all, which is 0."""
    return sorted({row.labels for row in rows}, key=lambda labels: labels or math.inf)


def lines_of(rows: list[LabelledRow]) -> dict[str, list[LabelledRow]]:
    """The rows by strategy and body, each from few labels to all."""
    lines: dict[str, list[LabelledRow]] = {}
    for row in rows:
        lines.setdefault(row.name, []).append(row)
    return lines


def labelled_points(rows: list[LabelledRow]) -> dict[str, list[LabelledPoint]]:
    """The points of each line."""
    return {name: [_point(row) for row in of_line] for name, of_line in lines_of(rows).items()}


def _point(row: LabelledRow) -> LabelledPoint:
    values = [100 * value for value in row.values("accuracy")]
    accuracy = 100 * (row.middle("accuracy") or 0.0)
    return LabelledPoint(
        row.labels, accuracy, min(values), max(values), row.middle("adapt_s") or 0.0
    )


def labelled_digest(rows: list[LabelledRow]) -> str:
    """A digest of everything that a table's plots show."""
    return hashlib.sha256(repr(labelled_points(rows)).encode()).hexdigest()[:16]
