"""What the plots of the tables show: points with their intervals, and paired differences."""

import hashlib
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np

from metalearn.config import Config
from metalearn.records.cells import FROM_BODY, notes_of, queries_of, told_steps
from metalearn.records.names import body_of, method_of
from metalearn.records.record import Record
from metalearn.records.report import Row, mean
from metalearn.records.store import counts_path, read_counts

SIDES = ("inductive", "transductive")
PLOTS = {  # of each dataset with a record, in results/plots, and what they show
    "shots": "accuracy against labelled images a class",
    "time": "accuracy against training time",
    "paired": "differences on paired episodes",
}


class Point(NamedTuple):
    """A point of a plot: one side of a row, means over its seeds.

    Attributes:
      label: method, backbone, normalisation and steps.
      ways, shots, queries: of the test.
      side: one of `SIDES`.
      accuracy, ci95: in percent.
      seconds: of all its training, earlier stages included.
      records: one a seed.
    """

    label: str
    ways: int
    shots: int
    queries: int
    side: str
    accuracy: float
    ci95: float
    seconds: float
    records: tuple[Record, ...]


def points(rows: list[Row]) -> list[Point]:
    """Both sides of all rows, sorted by test (ways, shots, queries, episodes) and label."""
    found = []
    for row in rows:
        for side in SIDES:
            records = getattr(row, side)
            if records:
                found.append(_point(side, records))
    return sorted(found, key=lambda p: (*_test(p), p.label))


def kinds(found: list[Point]) -> list[str]:
    """The plots of a table that have something to show.

    None of time where nothing was trained, none of shots without a method tested with several
    numbers of them, none of pairs without any.
    """
    there = {
        "shots": bool(lines_by_shots(found)),
        "time": any(p.seconds for p in found),
        "paired": bool(found) and bool(paired_tests(found)),
    }
    return [kind for kind in PLOTS if there[kind]]


def lines_by_shots(found: list[Point]) -> dict[int, dict[tuple[str, str], list[Point]]]:
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


def _test(p: Point) -> tuple[int, int, int, str]:
    return p.ways, p.shots, p.queries, p.records[0].test.episode_hash


def _point(side: str, records: list[Record]) -> Point:
    first = records[0]
    config = first.config
    accuracy, ci95 = (mean(records, name) or 0.0 for name in ("accuracy", "ci95"))
    seconds = fmean(r.total_wall_s for r in records)
    test = (config.ways, config.shots, config.queries)
    notes = [note for note in notes_of(first) if note != FROM_BODY]  # its steps show that
    how = ", ".join([first.test.normalisation, *notes])
    label = f"{method_of(config)} {body_of(config)} ({how}), {told_steps(first)} steps"
    return Point(label, *test, side, 100 * accuracy, 100 * ci95, seconds, tuple(records))


def paired(found: list[Point]) -> list[tuple[str, float, float]]:
    """Paired differences from the most accurate method: label, points, half of the 95 % CI.

    They are taken episode by episode, with a method's accuracy in an episode its mean over seeds.
    Methods without counts of their episodes are left out; [] where fewer than two are left.

    Args:
      found: points of one list of test episodes.
    """
    kept = [p for p in found if all(counts_path(_path(r)).exists() for r in p.records)]
    if len(kept) < 2:
        return []
    best = max(kept, key=lambda p: p.accuracy)
    theirs = _episodes(best)
    out = []
    for p in kept:
        if p is not best:
            difference = 100 * (_episodes(p) - theirs)
            half = 1.96 * difference.std(ddof=1) / len(difference) ** 0.5
            out.append((p.label, float(difference.mean()), float(half)))
    return [
        (f"{best.label} (best, {best.side})", 0.0, 0.0),
        *sorted(out, key=lambda line: -line[1]),
    ]


def _episodes(p: Point) -> np.ndarray:
    queries = p.ways * p.queries
    return np.mean([read_counts(_path(r)) / queries for r in p.records], axis=0)


def _path(record: Record) -> Path:
    assert record.path is not None  # it was read from there
    return record.path


def paired_tests(found: list[Point]) -> list[tuple[str, list[tuple[str, float, float]]]]:
    """A title and the paired differences for each list of test episodes with several methods."""
    groups = [list(group) for _, group in groupby(found, _test)]
    tests = [
        (f"{_named(group[0])}, {group[0].records[0].config.episodes} episodes", paired(group))
        for group in groups
    ]
    return [(said, lines) for said, lines in tests if lines]


def _named(p: Point) -> str:
    return f"{p.ways}-way {p.shots}-shot" + (
        "" if p.queries == Config.queries else f", {queries_of(p.records[0])}"
    )


def digest(found: list[Point]) -> str:
    """A digest of everything that a dataset's plots show."""
    shown = [p[:-1] for p in found], paired_tests(found)
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]
