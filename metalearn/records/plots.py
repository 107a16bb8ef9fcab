"""Plots of the tables: accuracy against shots and training time, and paired differences.

matplotlib is imported only when drawing. The same records give the same bytes (for one version of
matplotlib). Each file holds a digest of what it shows, by which an outdated one is found.
"""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metalearn.config import Config
from metalearn.files import write_whole
from metalearn.records.names import file_name
from metalearn.records.points import Point, digest, kinds, paired_tests, points
from metalearn.records.report import load

HASHES = re.compile(r"\b[hmp][0-9a-f]{10}\b")  # matplotlib's names of hatches, markers and clips
MARKERS = "osD^vP*X"
COLOURS = tuple(f"C{i}" for i in range(10)) + (
    "black", "gold", "navy", "lime", "indigo", "salmon",
    "teal", "orchid", "sienna", "tan", "slategray", "crimson",
)  # fmt: skip


def _styles(found: list[Point]) -> dict[tuple[str, str], dict[str, Any]]:
    """The style of each point, the same in all panels.

    A colour for each method, a marker for each of its bodies and recipes, hollow if transductive.
    """
    labels: dict[str, list[str]] = {}
    for p in sorted(found, key=lambda p: p.label):
        of_method = labels.setdefault(p.records[0].config.method, [])
        of_method += [] if p.label in of_method else [p.label]
    looks = {
        label: {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[j % len(MARKERS)]}
        for i, of_method in enumerate(labels.values())
        for j, label in enumerate(of_method)
    }
    hollow = {"inductive": "full", "transductive": "none"}
    return {
        (p.label, p.side): looks[p.label] | {"fillstyle": hollow[p.side], "capsize": 2}
        for p in found
    }


def _lines(found: list[Point]) -> dict[int, dict[tuple[str, str], list[Point]]]:
    """By number of ways, the points of methods tested with several numbers of shots.

    Only tests with the usual number of queries.
    """
    lines: dict[int, dict[tuple[str, str], list[Point]]] = {}
    for p in found:
        if p.queries == Config.queries:
            lines.setdefault(p.ways, {}).setdefault((p.label, p.side), []).append(p)
    several = {
        n: {k: ps for k, ps in of.items() if len({p.shots for p in ps}) > 1}
        for n, of in lines.items()
    }
    return {n: of for n, of in sorted(several.items()) if of}


def _shots(figure: Any, found: list[Point]) -> None:
    """Draws accuracy against shots: a panel for each number of ways, lines named at their ends."""
    looks = _styles(found)
    panels = _lines(found)
    if not panels:
        figure.text(0.5, 0.5, "no method tested with more than one number of shots", ha="center")
        return
    for panel, (n, lines) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for key, ps in lines.items():
            shots, accuracy, ci95 = zip(*((p.shots, p.accuracy, p.ci95) for p in ps), strict=True)
            panel.errorbar(shots, accuracy, ci95, linewidth=1, **looks[key])
        ticks = sorted({p.shots for ps in lines.values() for p in ps})
        panel.set(
            xlabel="labelled images a class", ylabel="accuracy (%)", xscale="log", title=f"{n}-way"
        )
        panel.set_xticks(ticks, [str(k) for k in ticks])
        panel.minorticks_off()
        panel.set_xlim(right=ticks[-1] * (ticks[-1] / ticks[0]) ** 1.1)  # room for the names
        _name_ends(
            panel, sorted((ps[-1] for ps in lines.values()), key=lambda p: p.accuracy), looks
        )


def _name_ends(panel: Any, ends: list[Point], looks: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Writes the names of lines beside their last points, given from the lowest to the highest."""
    low, high = panel.get_ylim()
    heights = spread([p.accuracy for p in ends], (high - low) / 60)
    panel.set_ylim(min(low, heights[0]), max(high, heights[-1] + (high - low) / 60))
    for p, height in zip(ends, heights, strict=True):
        color = looks[p.label, p.side]["color"]
        line = {"arrowstyle": "-", "color": color, "linewidth": 0.5, "relpos": (0, 0.5)}
        said = f"{p.label}, {p.side}, {p.accuracy:.1f}"
        at = (p.shots * 1.12, height)
        panel.annotate(said, (p.shots, p.accuracy), at, va="center", fontsize=7, arrowprops=line)


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


def _time(figure: Any, found: list[Point]) -> None:
    """Draws accuracy against minutes of training: a panel for each test with usual queries."""
    usual = [p for p in found if p.queries == Config.queries and p.seconds]
    looks = _styles(usual)
    tests = sorted({(p.ways, p.shots) for p in usual})
    for panel, test in zip(
        figure.subplots(1, len(tests), squeeze=False)[0] if tests else (), tests, strict=True
    ):
        for p in usual:
            if (p.ways, p.shots) == test:
                look = looks[p.label, p.side] | {
                    "linestyle": "none",
                    "label": f"{p.label}, {p.side}",
                }
                panel.errorbar(p.seconds / 60, p.accuracy, p.ci95, **look)
        said = "training, its body's included (minutes, each on its own device)"
        panel.set(
            xlabel=said, ylabel="accuracy (%)", xscale="log", title=f"{test[0]}-way {test[1]}-shot"
        )
        panel.xaxis.set_major_locator(_ticks())
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter("")


def _ticks() -> Any:
    from matplotlib.ticker import LogLocator

    return LogLocator(subs=(1, 1.5, 2, 3, 4, 5, 6, 8))


def _paired(figure: Any, found: list[Point]) -> None:
    """Draws differences on paired episodes: a panel for each list, one above the other."""
    tests = paired_tests(found)
    heights = [len(lines) + 3 for _, lines in tests]
    panels = (
        figure.subplots(len(tests), 1, squeeze=False, height_ratios=heights)[:, 0] if tests else ()
    )
    for panel, (said, lines) in zip(panels, tests, strict=True):
        labels, differences, halves = zip(*lines, strict=True)
        places = range(len(labels), 0, -1)
        panel.errorbar(differences, places, xerr=halves, fmt="o", capsize=2)
        panel.axvline(0, color="#777777", linewidth=0.8)
        panel.set_yticks(places, labels)
        panel.set(xlabel="accuracy against the best (points, paired 95 % CI)", title=said)


DRAW: dict[str, Callable[[Any, list[Point]], None]] = {
    "shots": _shots,
    "time": _time,
    "paired": _paired,
}


def draw_plots(root: Path) -> list[Path]:
    """Draws the plots of all datasets with records in root; the files, in `<root>/plots/`.

    Raises:
      UserError: a file that is no record, or a plot that cannot be written.
    """
    folder = root / "plots"
    paths = []
    for dataset, rows in load(root)[0].items():
        found = points(rows)
        for kind in kinds(found):
            folder.mkdir(exist_ok=True)
            paths.append(folder / f"{file_name(dataset)}-{kind}.svg")
            _draw(paths[-1], DRAW[kind], found, dataset)
    return paths


def _draw(
    path: Path, draw: Callable[[Any, list[Point]], None], found: list[Point], title: str
) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(11, 4 + 0.2 * len(found)), layout="constrained")
        draw(figure, found)
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
        picture = svg(figure, Description=digest(found))
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
