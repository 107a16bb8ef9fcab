"""What plots share: colours, names beside the ends of lines, an SVG with the same bytes anywhere.

matplotlib is imported only when drawing.
"""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from metalearn.files import write_whole

HASHES = re.compile(r"\b[hmp][0-9a-f]{10}\b")  # matplotlib's names of hatches, markers and clips
MARKERS = "osD^vP*X"
COLOURS = tuple(f"C{i}" for i in range(10)) + (
    "black", "gold", "navy", "lime", "indigo", "salmon",
    "teal", "orchid", "sienna", "tan", "slategray", "crimson",
)  # fmt: skip


class End(NamedTuple):
    """Where a line ends, and the name to write beside it.

    Attributes:
      x, y: of the last point.
      at: where the name begins; its height follows from the names above and below.
      said: the name.
      color: of the line.
    """

    x: float
    y: float
    at: float
    said: str
    color: str


def name_ends(panel: Any, ends: list[End], fit: int = 60) -> None:
    """Writes the names of lines beside their last points.

    Args:
      panel: where the lines are.
      ends: of the lines.
      fit: names that find room one above the other.
    """
    low, high = panel.get_ylim()
    ends = sorted(ends, key=lambda end: end.y)
    heights = spread([end.y for end in ends], (high - low) / fit)
    panel.set_ylim(min(low, heights[0]), max(high, heights[-1] + (high - low) / fit))
    for end, height in zip(ends, heights, strict=True):
        line = {"arrowstyle": "-", "color": end.color, "linewidth": 0.5, "relpos": (0, 0.5)}
        at = (end.at, height)
        panel.annotate(end.said, end[:2], at, va="center", fontsize=7, arrowprops=line)


def spread(heights: list[float], least: float) -> list[float]:
    """The ascending heights, moved so that neighbours are at least `least` apart.

    Groups that must be moved stay centred where they were.
    """

    def lowest(group: list[float]) -> float:
        return sum(group) / len(group) - least * (len(group) - 1) / 2

    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and lowest(groups[-1]) < lowest(groups[-2]) + least * len(groups[-2]):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [lowest(group) + i * least for group in groups for i in range(len(group))]


def log_ticks() -> Any:
    """Places of the numbers of a logarithmic axis that covers few powers of ten."""
    from matplotlib.ticker import LogLocator

    return LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 6, 8))


def draw_svg(
    path: Path, draw: Callable[[Any], None], height: float, title: str, shown: str
) -> None:
    """Draws a plot with a legend of all its panels below it.

    Args:
      path: of the SVG; its folder is made.
      draw: draws panels on a figure.
      height: in inches.
      title: above the panels.
      shown: the digest of what the plot shows, which the file holds.

    Raises:
      UserError: the file cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(11, height), layout="constrained")
        draw(figure)
        figure.suptitle(title)
        for panel in figure.axes:
            panel.grid(alpha=0.3)
        entries: dict[str, Any] = {}
        for panel in figure.axes:
            entries |= dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
        if entries:
            figure.legend(
                entries.values(), entries, loc="outside lower center", fontsize=7, ncols=2
            )
        picture = svg(figure, Description=shown)
    write_whole(path, lambda file: file.write(picture))


def svg(figure: Any, **metadata: str | None) -> bytes:
    """The figure as SVG, the same bytes for the same numbers on any machine; text stays text.

    It has no date. matplotlib names some elements by hashes of coordinates, whose last digits
    depend on the processor: here they are named by their order.
    """
    import matplotlib as mpl

    drawn = io.BytesIO()
    names = dict[str, str]()
    with mpl.rc_context({"svg.hashsalt": "metalearn", "svg.fonttype": "none"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None, **metadata})

    def by_order(found: re.Match) -> str:
        return names.setdefault(found[0], f"{found[0][0]}{len(names)}")

    return HASHES.sub(by_order, drawn.getvalue().decode()).encode()
