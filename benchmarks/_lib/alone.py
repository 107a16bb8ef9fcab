"""Contenders one after the other, each alone on the machine, and none longer than it may take."""

import tempfile
from pathlib import Path
from threading import Event, Timer
from typing import NamedTuple

import numpy as np

from benchmarks._lib.contenders import OURS, Failed, Process, Team
from benchmarks._lib.measure import Turns
from benchmarks._lib.work import Work

SLOW = 5.0  # seconds; a first step that takes longer counts, and is the only one


class Taken(NamedTuple):
    """What a contender took.

    Attributes:
      ms: a step's, by round.
      about: what it said of itself.
      parts: milliseconds of what is done once, by what it is; of ours.
      mib: the most memory of its process.
      places: int [k], what it chose last.
    """

    ms: list[float]
    about: dict
    parts: dict[str, float]
    mib: float
    places: np.ndarray


def seconds_of(process: Process, count: int, limit: float) -> float:
    """What so many steps take.

    Raises:
      Failed: more than `limit` seconds, after which the process is ended; or they fail.
    """
    ended = Event()

    def end() -> None:
        ended.set()
        process.process.kill()

    timer = Timer(limit, end)
    timer.start()
    try:
        return process.ask("steps", count=count)["seconds"]
    except Failed as failed:
        if ended.is_set():
            raise Failed(f"over {limit:g} s") from failed
        raise
    finally:
        timer.cancel()


def alone(team: Team, name: str, work: Work, turns: Turns, limit: float) -> Taken:
    """Times of a contender; its first step does not count, unless it takes seconds.

    Args:
      team: the contenders.
      name: which.
      work: what is timed.
      turns: how long to measure.
      limit: seconds that a step may take.

    Raises:
      Failed: it takes longer, does not start, or has not enough memory.
    """
    with team.start(name, work) as process:
        first = seconds_of(process, 1, limit)
        ms = [1e3 * first]
        if first < SLOW:
            count = turns.steps or max(1, round(turns.seconds / max(first, 1e-3)))
            rounds = range(turns.rounds)
            ms = [1e3 * seconds_of(process, count, count * limit) / count for _ in rounds]
        parts = process.ask("parts")["parts"] if name == OURS else {}
        mib = process.ask("memory")["mib"]
        return Taken(ms, process.about, parts, mib, places_of(process))


def places_of(process: Process) -> np.ndarray:
    """What a contender chose last."""
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(given)
        process.ask("gradient", given=str(given), found=str(found))
        with np.load(found) as arrays:
            return arrays["places"]
