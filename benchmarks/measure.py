"""Turns round and round, medians, and whether the contenders compute the same."""

from statistics import median
from typing import NamedTuple

from benchmarks.contenders import OURS, Failed, Process, Team
from benchmarks.records import Row
from benchmarks.roofline import Peaks
from benchmarks.work import Arrays, Work, difference, example

AGREE = 1e-9  # relative difference of losses and of meta-gradients in float64


class Turns(NamedTuple):
    """How long to measure: rounds of one turn for each; a turn is so many steps, or (0) about so many seconds."""

    rounds: int = 5
    seconds: float = 2.0
    steps: int = 0


class Found(NamedTuple):
    """Milliseconds a step of every contender by round, what they said of themselves, and who is missing and why."""

    ms: dict[str, list[float]]
    about: dict[str, dict]
    missing: dict[str, str]
    peaks: Peaks | None


def compare(team: Team, work: Work, turns: Turns) -> Found:
    """Times of ours and the peers, turn by turn."""
    processes: dict[str, Process] = {}
    missing: dict[str, str] = {}
    counts: dict[str, int] = {}
    ms: dict[str, list[float]] = {}
    try:
        for name in team.commands:
            try:
                processes[name] = team.start(name, work)
                counts[name] = _warm_up(processes[name], turns)
            except Failed as failed:
                missing[name] = str(failed)
        for turn in range(turns.rounds):
            for name in _rotated([n for n in counts if n not in missing], turn):
                try:
                    ms.setdefault(name, []).append(_turn(processes[name], counts[name]))
                except Failed as failed:
                    missing[name] = str(failed)
        about = {name: process.about for name, process in processes.items()}
        peaks = _peaks({n: p for n, p in processes.items() if n not in missing}, work)
    finally:
        for process in processes.values():
            process.close()
    return Found({k: v for k, v in ms.items() if k not in missing}, about, missing, peaks)


def _warm_up(process: Process, turns: Turns) -> int:
    """Compile, then find out how many steps make a turn."""
    process.ask("steps", count=1)
    seconds = process.ask("steps", count=1)["seconds"]
    return turns.steps or max(1, round(turns.seconds / seconds))


def _turn(process: Process, count: int) -> float:
    """Milliseconds a step, after one that does not count where there are several: others have used the caches."""
    if count > 1:
        process.ask("steps", count=1)
    return 1e3 * process.ask("steps", count=count)["seconds"] / count


def _rotated(names: list[str], turn: int) -> list[str]:
    """Each round begins with another."""
    first = turn % max(1, len(names))
    return names[first:] + names[:first]


def _peaks(processes: dict[str, Process], work: Work) -> Peaks | None:
    """The best that any contender gets out of the device."""
    size = 8192 if work.platform != "cpu" else 2048 if work.width > 8 else 128
    found = []
    for process in processes.values():
        try:
            found.append(process.ask("peaks", size=size))
        except Failed:
            continue  # no room left for three such matrices; another has some
    return Peaks(max(f["flops"] for f in found), max(f["bytes"] for f in found)) if found else None


def agreement(team: Team, work: Work) -> dict[str, float | str]:
    """Relative difference of every peer's loss and meta-gradient from ours, in float64; or why there is none."""
    given = example(work)
    found: dict[str, float | str] = {}
    gradients: dict[str, Arrays] = {}
    for name in team.commands:
        if name != OURS:
            try:
                gradients[name] = team.gradient(name, work, given)
            except Failed as failed:
                found[name] = str(failed)
    ours = team.gradient(OURS, work, given) if gradients else {}
    return found | {name: difference(ours, theirs) for name, theirs in gradients.items()}


def disagreeing(found: dict[str, float | str]) -> list[str]:
    """Those whose difference is too large; one that could not be compared is not among them."""
    return [name for name, value in found.items() if isinstance(value, float) and not value < AGREE]


def times(found: Found, key: str = "ms", digits: int = 4) -> Row:
    """The fields of a row: medians over the rounds, and the peers' least over ours, round by round.

    The ratio is how many times ours is faster (or smaller) than the best peer.
    """
    medians = {name: round(median(values), digits) for name, values in found.ms.items()}
    ours = medians.pop(OURS, None)
    ratio = None
    if ours and medians:
        best = min(medians, key=lambda name: medians[name])
        pairs = zip(found.ms[best], found.ms[OURS], strict=False)
        ratio = round(median(theirs / our for theirs, our in pairs), 3)
    spread = {name: [round(min(v), digits), round(max(v), digits)] for name, v in found.ms.items()}
    return {f"ours_{key}": ours, "peers": medians, "ratio_to_fastest_peer": ratio, f"range_{key}": spread}
