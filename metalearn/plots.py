"""Plots of the tables: accuracy against shots and against training time, and paired differences between methods.

matplotlib is imported only here, when drawing. The same records give the same bytes (for one version of matplotlib);
each file carries a digest of what it shows, by which a stale one is found.
"""

import hashlib
import os
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metalearn.record import counts_path, read_counts
from metalearn.report import Row, mean
from metalearn.tables import PLOTS, load

SIDES = ("inductive", "transductive")


class Point(NamedTuple):
    """One side of a row: a method as tested, over its seeds; accuracies in percent."""

    label: str
    ways: int
    shots: int
    side: str
    accuracy: float
    ci95: float
    seconds: float
    records: tuple[dict, ...]


def points(rows: list[Row]) -> list[Point]:
    """Both sides of all rows, sorted by test and label."""
    found = []
    for row in rows:
        for side in SIDES:
            records = getattr(row, side)
            if records:
                found.append(_point(side, records))
    return sorted(found, key=lambda p: (p.ways, p.shots, p.label))


def _point(side: str, records: list[dict]) -> Point:
    first = records[0]
    accuracy, ci95, seconds = (mean(records, name) or 0.0 for name in ("accuracy", "ci95", "train_wall_s"))
    label = f"{first['method']} {first['backbone']} ({first['norm']}), {first['steps']} steps"
    return Point(label, first["ways"], first["shots"], side, 100 * accuracy, 100 * ci95, seconds, tuple(records))


def paired(found: list[Point]) -> list[tuple[str, float, float]]:
    """Each method of one test against the most accurate: label, difference in points and half its 95 % CI.

    Over episodes, in each of which a method's accuracy is its mean over seeds. Methods whose episodes differ from
    the best one's, or were not kept, are left out.
    """
    kept = [p for p in found if all(counts_path(Path(r["path"])).exists() for r in p.records)]
    if not kept:
        return []
    best = max(kept, key=lambda p: p.accuracy)
    theirs, hashed = _episodes(best), best.records[0]["episode_hash"]
    out = []
    for p in kept:
        if p is best or p.records[0]["episode_hash"] != hashed:
            continue
        difference = 100 * (_episodes(p) - theirs)
        half = 1.96 * difference.std(ddof=1) / len(difference) ** 0.5
        out.append((p.label, float(difference.mean()), float(half)))
    return [(f"{best.label} (best)", 0.0, 0.0), *sorted(out, key=lambda line: -line[1])]


def _episodes(p: Point) -> np.ndarray:
    queries = p.ways * p.records[0]["queries"]
    return np.mean([read_counts(Path(r["path"])) / queries for r in p.records], axis=0)


def _tests(found: list[Point]) -> list[tuple[tuple[int, int], list[Point]]]:
    return [(test, list(group)) for test, group in groupby(found, lambda p: (p.ways, p.shots))]


def _shots(axes: Any, found: list[Point]) -> None:
    for index, ((label, side), group) in enumerate(
        groupby(sorted(found, key=lambda p: (p.label, p.side, p.shots)), lambda p: (p.label, p.side))
    ):
        line = list(group)
        axes.errorbar(
            [p.shots for p in line],
            [p.accuracy for p in line],
            [p.ci95 for p in line],
            color=f"C{index % 10}",
            marker="o",
            fillstyle="none" if side == "transductive" else "full",
            capsize=2,
            label=f"{label}, {side}",
        )
    shots = sorted({p.shots for p in found})
    axes.set(xlabel="labelled images a class", ylabel="accuracy (%)", xscale="log")
    axes.set_xticks(shots, [str(k) for k in shots])
    axes.minorticks_off()


def _time(axes: Any, found: list[Point]) -> None:
    for index, p in enumerate(found):
        axes.errorbar(
            p.seconds,
            p.accuracy,
            p.ci95,
            color=f"C{index % 10}",
            marker="s" if p.shots > 1 else "o",
            fillstyle="none" if p.side == "transductive" else "full",
            capsize=2,
            label=f"{p.label}, {p.ways}-way {p.shots}-shot, {p.side}",
        )
    axes.set(xlabel="training (s, each on its own device)", ylabel="accuracy (%)", xscale="log")


def _paired(axes: Any, found: list[Point]) -> None:
    labels, values = [], []
    for (ways, shots), group in _tests(found):
        for label, difference, half in paired(group):
            labels.append(f"{label}, {ways}-way {shots}-shot")
            values.append((difference, half))
    places = range(len(labels), 0, -1)
    if values:
        differences, halves = zip(*values, strict=True)
        axes.errorbar(differences, places, xerr=halves, fmt="o", capsize=2)
    axes.axvline(0, color="#777777", linewidth=0.8)
    axes.set_yticks(places, labels)
    axes.set(xlabel="accuracy against the best of the same episodes (points, paired 95 % CI)")


DRAW: dict[str, Callable[[Any, list[Point]], None]] = {"shots": _shots, "time": _time, "paired": _paired}


def digest(found: list[Point]) -> str:
    """Of everything that a dataset's plots show."""
    shown = [p[:-1] for p in found], [paired(group) for _, group in _tests(found)]
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


def draw_plots(root: Path) -> list[Path]:
    """Draw the plots of all datasets with records in root to `<root>/plots/`; the files."""
    folder, paths = root / "plots", []
    for dataset, rows in load(root)[0].items():
        found = points(rows)
        for kind in PLOTS if found else ():
            folder.mkdir(exist_ok=True)
            paths.append(folder / f"{dataset}-{kind}.svg")
            _draw(paths[-1], DRAW[kind], found, dataset)
    return paths


def _draw(path: Path, draw: Callable[[Any, list[Point]], None], found: list[Point], title: str) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "metalearn", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(9, 2.5 + 0.22 * len(found)), layout="constrained")
        axes = figure.subplots()
        draw(axes, found)
        axes.set_title(title)
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            figure.legend(loc="outside lower center", fontsize=7, ncols=2)
        part = path.with_name(path.name + ".part")
        figure.savefig(part, format="svg", metadata={"Date": None, "Description": digest(found)})
    os.replace(part, path)
