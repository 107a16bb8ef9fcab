"""Our side of `benchmarks.active`: a strategy's function, compiled for a pool."""

import functools
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._lib.pool import picks_of, read
from benchmarks._lib.work import Arrays, Work
from metalearn.active.pool import Pool
from metalearn.active.registry import STRATEGIES
from metalearn.types import random_key


class Picking:
    """A strategy and a pool.

    Args:
      work: names the strategy.
    """

    def __init__(self, work: Work):
        pool = pool_of(work)
        begin = time.perf_counter()
        pick = jax.jit(STRATEGIES[work.part].pick, static_argnums=2)
        compiled = pick.lower(random_key(0), pool, picks_of(work)).compile()
        self.compile_ms = 1e3 * (time.perf_counter() - begin)
        self.places = np.zeros(0, np.int32)
        self._turn = 0
        self._pick = compiled
        self._pool = pool

    def steps(self, count: int) -> float:
        """Choose so many times, each with another key; the mean of the places."""
        for _ in range(count):
            self.places = np.asarray(self._pick(random_key(self._turn), self._pool))
            self._turn += 1
        return float(self.places.mean())

    def parts(self) -> dict[str, float]:
        """What compiling took, milliseconds."""
        return {"compile": self.compile_ms}


def pool_of(work: Work) -> Pool:
    """The pool that was drawn."""
    drawn = read()
    free = np.ones(len(drawn.y), bool)
    free[drawn.labelled] = False
    counts = np.bincount(drawn.y[drawn.labelled], minlength=work.classes)
    arrays = (drawn.z, free, drawn.labelled, counts.astype(np.int32), drawn.p)
    return Pool(*map(jnp.asarray, arrays))


@functools.cache
def picking(work: Work) -> Picking:
    """The one that steps are of, what is compared, and parts."""
    return Picking(work)


def steps_of(work: Work) -> Callable[[int], float]:
    """Choices so many times."""
    return picking(work).steps


def compared(work: Work, given: Arrays) -> Arrays:
    """What was chosen last."""
    del given
    return {"places": picking(work).places}


def parts_of(work: Work) -> Callable[[], dict[str, float]]:
    """What compiling took, milliseconds."""
    return picking(work).parts
