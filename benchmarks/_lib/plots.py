"""Small plots of times and memory as SVG, the same bytes for the same numbers.

Matplotlib is imported when drawing.
"""

from typing import Any

from benchmarks._lib.contenders import OURS
from benchmarks._lib.records import Row
from metalearn.records.svg import svg

Series = list[tuple[Row, str, dict[str, float]]]  # rows, their labels, and values by contender
COLUMNS = 3  # of a legend below a plot
# Ours first
COLOURS = (
    "#1565c0",
    "#ef6c00",
    "#2e7d32",
    "#6a1b9a",
    "#c62828",
    "#795548",
    "#00838f",
)


def _figure(height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(8, height), layout="constrained")


def _names(series: Series) -> list[str]:
    return sorted(
        {name for _, _, found in series for name in found}, key=lambda name: (name != OURS, name)
    )


def bars(series: Series, title: str) -> bytes:
    """A group of bars for each row, on a logarithmic axis: ratios are lengths."""
    names = _names(series)
    figure = _figure(1 + 0.17 * len(series) * (len(names) + 1))
    axes = figure.subplots()
    for i, name in enumerate(names):
        places = [
            (row * (len(names) + 1) + i, found[name])
            for row, (_, _, found) in enumerate(series)
            if name in found
        ]
        axes.barh(
            [y for y, _ in places],
            [v for _, v in places],
            0.9,
            label=name,
            color=COLOURS[i % len(COLOURS)],
        )
    middle = (len(names) - 1) / 2
    axes.set_yticks(
        [row * (len(names) + 1) + middle for row in range(len(series))],
        [text for _, text, _ in series],
    )
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=7)
    return svg(figure, Creator=None)


def lines(series: Series, title: str) -> bytes:
    """Memory against inner steps, a line for each contender and number of tasks.

    Of several numbers of inner steps; where there is none, single points.
    """
    points: dict[tuple[str, int], list[tuple[int, float]]] = {}
    for row, _, found in series:
        for name, mib in found.items():
            points.setdefault((name, row["tasks"]), []).append((row["inner_steps"], mib))
    several = {key: some for key, some in points.items() if len(some) > 1} or points
    tasks = sorted({count for _, count in several})
    figure = _figure(3.5 + 0.17 * -(-len(several) // COLUMNS))
    axes = figure.subplots()
    for i, name in enumerate(_names(series)):
        for count, style in zip(tasks, ("-", "--", ":", "-.") * len(tasks), strict=False):
            if (name, count) in several:
                label = f"{name}, {count} task{'s' * (count > 1)}" if len(tasks) > 1 else name
                (at, values) = zip(*sorted(several[name, count]), strict=True)
                axes.plot(
                    at, values, style, marker="o", label=label, color=COLOURS[i % len(COLOURS)]
                )
    axes.set_xlabel(f"inner steps ({tasks[0]} tasks)" if len(tasks) == 1 else "inner steps")
    axes.set_xticks(sorted({j for some in several.values() for j, _ in some}))
    axes.set_ylabel("MiB")
    axes.set_ylim(0)
    axes.set_title(title, fontsize=9)
    figure.legend(fontsize=7, loc="outside lower center", ncols=COLUMNS)
    return svg(figure, Creator=None)
