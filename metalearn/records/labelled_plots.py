"""Plots of labelled images: accuracy against labels a class and against seconds of training.

matplotlib is imported only when drawing. As the plots of few-shot tables, the same records give the
same bytes, and each file holds a digest of what it shows.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from metalearn.records.labelled_points import (
    LabelledPoint,
    labelled_digest,
    labelled_points,
    labels_of,
    plot_name,
)
from metalearn.records.labelled_rows import labelled_rows
from metalearn.records.svg import COLOURS, MARKERS, End, draw_svg, log_ticks, name_ends

LEAST = 0.01  # seconds, that records have them rounded to: a logarithmic axis has no zero
COLUMNS = 3  # panels beside each other
Lines = dict[str, list[LabelledPoint]]


def draw_labelled_plots(root: Path) -> list[Path]:
    """Draws the plots of all tables with several numbers of labels, in `<root>/plots/`.

    Raises:
      UserError: a file that is no record, or a plot that cannot be written.
    """
    paths = []
    for title, rows in labelled_rows(root).items():
        labels = labels_of(rows)
        lines = labelled_points(rows)
        for kind, draw in DRAW.items() if len(labels) > 1 else ():
            paths.append(root / "plots" / plot_name(title, kind))
            height = 4 + 0.2 * len(lines)
            if kind == "seconds":
                height = 3.2 * _rows_of_panels(labels) + 0.1 * len(lines)
            drawn = partial(draw, lines=lines, labels=labels)
            draw_svg(paths[-1], drawn, height, title, labelled_digest(rows))
    return paths


def _looks(lines: Lines) -> dict[str, dict[str, str]]:
    """The colour and the marker of each line, the same in all plots of a table."""
    return {
        name: {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
        for i, name in enumerate(sorted(lines))
    }


def _accuracy(figure: Any, lines: Lines, labels: list[int]) -> None:
    """Draws accuracy against labels; a band from the least to the most accurate seed."""
    panel = figure.subplots()
    places = _places(labels)
    right = max(places.values())
    looks = _looks(lines)
    ends = []
    for name, points in lines.items():
        known = [p for p in points if p.labels]
        color = looks[name]["color"]
        x = [places[p.labels] for p in points]
        y = [p.accuracy for p in points]
        panel.plot(x, y, linewidth=1, linestyle=":", markersize=4, **looks[name])
        x = [places[p.labels] for p in known]
        panel.plot(x, [p.accuracy for p in known], linewidth=1.2, color=color)
        low, high = ([getattr(p, end) for p in known] for end in ("low", "high"))
        panel.fill_between(x, low, high, color=color, alpha=0.12, linewidth=0)
        last = points[-1]
        said = f"{name}, {last.accuracy:.1f}"
        ends.append(End(places[last.labels], last.accuracy, 1.12 * right, said, color))
    panel.set(xlabel="labelled images a class", ylabel="accuracy (%)", xscale="log")
    panel.set_xticks(list(places.values()), [str(k or "all") for k in places])
    panel.minorticks_off()
    panel.set_xlim(right=right * (right / min(places.values())) ** 0.8)  # room for the names
    name_ends(panel, ends, fit=int(9 * (figure.get_figheight() - 0.8)))  # 9 an inch


def _places(labels: list[int]) -> dict[int, float]:
    """Where numbers of labels are on the axis; all, whose number differs by class, at its end."""
    known = [k for k in labels if k]
    return {k: float(k or 3 * known[-1]) for k in labels}


def _seconds(figure: Any, lines: Lines, labels: list[int]) -> None:
    """Draws accuracy against seconds of training: a panel for each number of labels."""
    looks = _looks(lines)
    seconds = [max(p.seconds, LEAST) for points in lines.values() for p in points]
    panels = figure.subplots(
        _rows_of_panels(labels), min(COLUMNS, len(labels)), squeeze=False, sharex=True
    ).ravel()
    for panel in panels[len(labels) :]:
        panel.remove()
    for panel, k in zip(panels, labels, strict=False):
        for name, points in lines.items():
            for p in points:
                if p.labels == k:
                    _mark(panel, p, looks[name] | {"label": name})
        title = f"{k} labels a class" if k > 1 else "1 label a class" if k else "all labels"
        panel.set(xlabel="training (seconds)", ylabel="accuracy (%)", xscale="log", title=title)
        if max(seconds) < 30 * min(seconds):
            panel.xaxis.set_major_locator(log_ticks())
            panel.xaxis.set_minor_formatter("")
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_tick_params(labelbottom=True)  # there may be no panel below


def _mark(panel: Any, p: LabelledPoint, look: dict[str, str]) -> None:
    ends = [[p.accuracy - p.low], [p.high - p.accuracy]]
    panel.errorbar([max(p.seconds, LEAST)], [p.accuracy], ends, linestyle="none", capsize=2, **look)


def _rows_of_panels(labels: list[int]) -> int:
    return -(-len(labels) // COLUMNS)


DRAW: dict[str, Callable[..., None]] = {"accuracy": _accuracy, "seconds": _seconds}
