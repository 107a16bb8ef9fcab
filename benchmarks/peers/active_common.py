"""What the peers of `benchmarks.active` share: a pool, an end to memory, and what they chose."""

import resource
from collections.abc import Callable

import numpy as np

from benchmarks._lib.pool import picks_of, read
from benchmarks._lib.work import Arrays, Work
from benchmarks._lib.worker import Contender, serve

ROWS = 1024  # of a pool compared with all others at once
Pick = Callable[..., np.ndarray]  # (pool, k, rng) -> int [k]


def available() -> int:
    """Bytes that the machine can give."""
    with open("/proc/meminfo") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if "MemAvailable" in line)


def need(size: int, what: str) -> None:
    """Refuse what does not fit.

    Raises:
      MemoryError: so many bytes are not there.
    """
    if size > available():
        raise MemoryError(f"{what} need {size / 1e9:.1f} GB")


def similarities(z: np.ndarray) -> np.ndarray:
    """Squares of positive cosines of all pairs, float32 [N,N]."""
    number = len(z)
    need(4 * number**2, "similarities of all pairs")
    found = np.empty((number, number), np.float32)
    for start in range(0, number, ROWS):
        block = found[start : start + ROWS]
        np.matmul(z[start : start + ROWS], z.T, out=block)
        np.square(np.maximum(block, 0, out=block), out=block)
    return found


def contender(pick: Pick, about: dict[str, str], work: Work) -> Contender:
    """A peer in a running process, which gets no more memory than there is as it starts.

    So it says that it has too little, and is not ended by the machine.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (available(), resource.RLIM_INFINITY))
    pool = read()
    k = picks_of(work)
    chosen = np.zeros(0, np.int32)
    turn = 0

    def steps(count: int) -> float:
        nonlocal chosen, turn
        for _ in range(count):
            chosen = np.asarray(pick(pool, k, np.random.default_rng(turn)))
            turn += 1
        return float(chosen.mean())

    def compared(given: Arrays) -> Arrays:
        del given
        return {"places": chosen}

    def peaks(size: int) -> tuple[float, float]:
        raise NotImplementedError("nothing is compared with peaks")

    return Contender(about, steps, compared, peaks)


def run(strategy: Callable[..., Pick], about: dict[str, str]) -> None:
    """Answer as a process; `strategy` gives what the work and the arguments name."""
    serve(lambda work, *words: contender(strategy(work, *words), about, work))
