"""Plots of the tables: accuracy against shots and training time, and paired differences.

matplotlib is imported only when drawing. The same records give the same bytes (for one version of
matplotlib). Each file holds a digest of what it shows, by which an outdated one is found.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from metalearn.config import Config
from metalearn.records.names import file_name
from metalearn.records.points import (
    Point,
    digest,
    kinds,
    lines_by_shots,
    paired_tests,
    points,
)
from metalearn.records.report import load
from metalearn.records.svg import COLOURS, MARKERS, End, draw_svg, log_ticks, name_ends


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


def _shots(figure: Any, found: list[Point]) -> None:
    """Draws accuracy against shots: a panel for each number of ways, lines named at their ends."""
    looks = _styles(found)
    panels = lines_by_shots(found)
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
        last = [ps[-1] for ps in lines.values()]
        name_ends(panel, [_end(p, looks[p.label, p.side]["color"]) for p in last])


def _end(p: Point, color: str) -> End:
    said = f"{p.label}, {p.side}, {p.accuracy:.1f}"
    return End(p.shots, p.accuracy, p.shots * 1.12, said, color)


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
        panel.xaxis.set_major_locator(log_ticks())
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter("")


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


DRAW: dict[str, Callable[..., None]] = {
    "shots": _shots,
    "time": _time,
    "paired": _paired,
}


def draw_plots(root: Path) -> list[Path]:
    """Draws the plots of all datasets with records in root; the files, in `<root>/plots/`.

    Raises:
      UserError: a file that is no record, or a plot that cannot be written.
    """
    paths = []
    for dataset, rows in load(root)[0].items():
        found = points(rows)
        for kind in kinds(found):
            height = 4 + 0.2 * len(found)
            if kind == "shots":
                height = 4 + 0.2 * max(map(len, lines_by_shots(found).values()))
            paths.append(root / "plots" / f"{file_name(dataset)}-{kind}.svg")
            draw_svg(paths[-1], partial(DRAW[kind], found=found), height, dataset, digest(found))
    return paths
