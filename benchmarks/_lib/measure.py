"""Turns of the contenders, medians, and whether all compute the same."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from statistics import median
from typing import NamedTuple

from benchmarks._lib.contenders import OURS, Failed, Process, Team
from benchmarks._lib.records import Row
from benchmarks._lib.roofline import Peaks
from benchmarks._lib.work import Arrays, Work, difference, example

AT_ONCE = 16  # contenders that start at once on an accelerator
AGREE = 1e-9  # relative difference of losses and of meta-gradients in float64


class Turns(NamedTuple):
    """How long to measure.

    Rounds of one turn for each contender; a turn is so many steps, or (0) about so many seconds.
    """

    rounds: int = 5
    seconds: float = 2.0
    steps: int = 0


class Found(NamedTuple):
    """What was measured.

    Milliseconds a step of every contender by round, what they said of themselves, who is missing
    and why, and the device's peaks.
    """

    ms: dict[str, list[float]]
    about: dict[str, dict]
    missing: dict[str, str]
    peaks: Peaks | None


def compare(
    team: Team,
    work: Work,
    turns: Turns,
    meanwhile: Callable[[], object] | None = None,
) -> Found:
    """Times of ours and the peers, turn by turn.

    On an accelerator all start and compile at once, beside `meanwhile`: that takes minutes of its
    time one after the other. What they tune as they start, they tune while the others run.

    Args:
      team: the contenders.
      work: what is timed.
      turns: how long to measure.
      meanwhile: called while they start.
    """
    processes: dict[str, Process] = {}
    missing: dict[str, str] = {}
    counts: dict[str, int] = {}
    ms: dict[str, list[float]] = {}
    try:
        _start(team, work, processes, missing, meanwhile)
        for name in [n for n in team.commands if n not in missing]:
            try:
                counts[name] = _count(processes[name], turns)
            except Failed as failed:
                missing[name] = str(failed)
        for turn in range(turns.rounds):
            for name in _rotated([n for n in counts if n not in missing], turn):
                try:
                    ms.setdefault(name, []).append(_turn(processes[name], counts[name]))
                except Failed as failed:
                    missing[name] = str(failed)
        about = {name: processes[name].about for name in team.commands if name in processes}
        peaks = _peaks({n: p for n, p in processes.items() if n not in missing}, work)
    finally:
        for process in processes.values():
            process.close()
    return Found({k: v for k, v in ms.items() if k not in missing}, about, missing, peaks)


def peak(team: Team, name: str, work: Work) -> tuple[float, float]:
    """MiB before the first step, and after two, of a process that need not compile.

    Raises:
      Failed: it does not get that far.
    """
    with team.start(name, work) as process:
        process.ask("steps", count=1)  # fills the compilation cache
    with team.start(name, work) as process:
        resting = process.ask("memory")["mib"]
        process.ask("steps", count=2)
        return resting, process.ask("memory")["mib"]


def _start(
    team: Team,
    work: Work,
    processes: dict[str, Process],
    missing: dict[str, str],
    meanwhile: Callable[[], object] | None,
) -> None:
    """Start every contender and have it compile, or note why it is missing."""

    def ready(name: str) -> None:
        try:
            processes[name] = team.start(name, work)
            processes[name].ask("steps", count=1)
        except Failed as failed:
            missing[name] = str(failed)

    with _pool(work) as pool:
        jobs: list[Future] = [pool.submit(ready, name) for name in team.commands]
        if meanwhile:
            jobs.append(pool.submit(meanwhile))
        for job in jobs:
            job.result()
    for name in [n for n, why in missing.items() if _out_of_memory(why)]:
        del missing[name]  # the first steps of all at once take more than the steps to come
        if name in processes:
            processes.pop(name).close()
        ready(name)


def _pool(work: Work) -> ThreadPoolExecutor:
    """On an accelerator a thread for each contender; on a CPU one: none disturbs another."""
    return ThreadPoolExecutor(1 if work.platform == "cpu" else AT_ONCE)


def _out_of_memory(why: str) -> bool:
    return any(words in why for words in ("RESOURCE_EXHAUSTED", "OUT_OF_MEMORY", "out of memory"))


def _count(process: Process, turns: Turns) -> int:
    """How many steps make a turn."""
    seconds = process.ask("steps", count=1)["seconds"]
    return turns.steps or max(1, round(turns.seconds / seconds))


def _turn(process: Process, count: int) -> float:
    """Milliseconds a step.

    Of several, one before them does not count: others have used the caches.
    """
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
    """How far every peer's loss and meta-gradient are from ours in float64; or why none is there.

    The difference is relative.
    """
    given = example(work)
    found: dict[str, float | str] = {}
    gradients: dict[str, Arrays] = {}

    def ask(name: str) -> None:
        try:
            gradients[name] = team.gradient(name, work, given)
        except Failed as failed:
            found[name] = str(failed)

    peers = [name for name in team.commands if name != OURS]
    ours_too = [OURS] if peers and work.platform != "cpu" else []
    with _pool(work) as pool:
        list(pool.map(ask, peers + ours_too))
    found.pop(OURS, None)  # asked for again, alone
    ours = gradients.pop(OURS, None)
    if gradients and ours is None:
        ours = team.gradient(OURS, work, given)
    return found | {name: difference(ours or {}, theirs) for name, theirs in gradients.items()}


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
    return {
        f"ours_{key}": ours,
        "peers": medians,
        "ratio_to_fastest_peer": ratio,
        f"range_{key}": spread,
    }
