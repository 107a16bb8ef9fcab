"""A contender's end of the pipe: a line of JSON in, a line of JSON out.

Standard library and NumPy only.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks._lib.work import Arrays, Work


class Contender(NamedTuple):
    """What every contender can do.

    Attributes:
      about: versions, and whatever else a reader of the record should know.
      steps: `(count) -> mean loss`; draws fresh episodes for every step and waits for the last.
      gradient: `(example) -> {"loss": ..., parameter: its meta-gradient}` on the tensors given.
      peaks: `(size) -> (FLOP/s of a matrix product, bytes/s of a copy)`, the best of a few.
      memory: `() -> MiB`, the most used so far on the device, or None where that is the process's
        own.
      clock: seconds, by which steps are timed.
      parts: `() -> {what: number}`, where several things are measured one after the other.
    """

    about: dict[str, Any]
    steps: Callable[[int], float]
    gradient: Callable[[Arrays], Arrays]
    peaks: Callable[[int], tuple[float, float]]
    memory: Callable[[], float] | None = None
    clock: Callable[[], float] = time.perf_counter
    parts: Callable[[], dict[str, float]] | None = None


def resident_mib() -> float:
    """Most memory that this process has had."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def clock_of(work: Work) -> Callable[[], float]:
    """The clock that the work asks for; for CPU time this process is first bound to one core.

    So no library starts threads. It has to be called before they look for cores.
    """
    if work.clock == "wall":
        return time.perf_counter
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    return time.process_time


def serve(make: Callable[..., Contender]) -> None:
    """Make the contender of the command line, `WORK [ARGUMENT...]`, and answer.

    That continues until the pipe closes.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not get among the answers

    def reply(**answer: object) -> None:
        print(json.dumps(answer), file=answers)

    try:
        contender = make(Work(**json.loads(sys.argv[1])), *sys.argv[2:])
    except Exception as error:
        return reply(error=reason(error))
    reply(**contender.about)
    for line in sys.stdin:
        try:
            reply(**answer(contender, **json.loads(line)))
        except Exception as error:
            reply(error=reason(error))


def answer(contender: Contender, what: str, **request: Any) -> dict[str, Any]:
    """Do what the parent asks for."""
    if what == "steps":
        begin = contender.clock()
        loss = contender.steps(request["count"])
        return {"seconds": contender.clock() - begin, "loss": loss}
    if what == "gradient":
        found = contender.gradient(dict(np.load(request["given"])))
        np.savez(request["found"], **{k: np.asarray(v) for k, v in found.items()})  # type: ignore[arg-type]
        return {}
    if what == "parts":
        assert contender.parts is not None
        return {"parts": contender.parts()}
    if what == "peaks":
        flops, copied = contender.peaks(request["size"])
        return {"flops": flops, "bytes": copied}
    return {"mib": resident_mib() if contender.memory is None else contender.memory()}


def best_seconds(run: Callable[[], object], times: int = 7) -> float:
    """The quickest of a few runs, after one that does not count."""
    run()
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        run()
        taken.append(time.perf_counter() - begin)
    return min(taken)


def reason(error: Exception) -> str:
    """An exception in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
