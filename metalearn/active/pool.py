"""What strategies are written in: a pool of unlabelled images, and a way to choose some of them.

N images of the pool, L labelled ones, k to choose, M members of a committee.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metalearn.types import Array, Key

ROWS = 1024  # of a pool compared with all others at once


class Pool(NamedTuple):
    """Images that labels may be asked for, and what is known of them.

    Attributes:
      z: float32 [N,D], features of length one.
      free: bool [N], which may be asked for.
      labelled: int32 [L], positions of those whose labels are known; none of them is free.
      counts: int32 [C], labelled images of each class.
      probabilities: float32 [N,C], by the present head; None where there is none yet.
      committee: float32 [M,N,C], by heads fitted to bootstrap samples of the labelled images; None
        where there is none yet.
    """

    z: Array
    free: Array
    labelled: Array
    counts: Array
    probabilities: Array | None = None
    committee: Array | None = None


class Strategy(NamedTuple):
    """A way to choose images.

    Attributes:
      pick: `(key, pool, k) -> int32 [k]`, positions of k different free images, the first choice
        first; k is static, and at most as many as are free. Pure, and may be compiled. Where it
        reads what the pool does not have yet, images are drawn at random.
      source: paper.
      committee: whether it reads that.
    """

    pick: Callable[[Key, Pool, int], Array]
    source: str
    committee: bool = False


def best(key: Key, scores: Array, free: Array, k: int) -> Array:
    """Positions int32 [k] of the free images with the highest scores; ties are drawn.

    Args:
      key: draws among ties.
      scores: [N].
      free: bool [N].
      k: how many, at most as many as are free.
    """
    # Sorting the whole pool to draw ties would take longer than all else
    ties = jax.random.uniform(key, scores.shape)
    scores = jnp.where(free, scores, -jnp.inf)
    (values, places) = jax.lax.top_k(scores, k)
    last = values[-1]

    def draw() -> Array:
        better = (values > last).sum()
        equal = jax.lax.top_k(jnp.where(free & (scores == last), ties, -1), k)[1]
        number = jnp.arange(k)
        return jnp.where(number < better, places, equal[jnp.maximum(number - better, 0)])

    def keep() -> Array:
        return places

    places = jax.lax.cond((free & (scores >= last)).sum() > k, draw, keep)
    return places[jnp.lexsort((ties[places], -scores[places]))].astype(jnp.int32)


def random(key: Key, pool: Pool, k: int) -> Array:
    """Images drawn at random."""
    return best(key, jnp.zeros(len(pool.z)), pool.free, k)


def nearest_of(z: Array, rows: Array) -> Array:
    """Cosine [N] of each image to the nearest of some images; -inf where there are none.

    Args:
      z: [N,D], of length one.
      rows: int [L], positions in z.
    """
    nothing = jnp.full(len(z), -jnp.inf)
    if not len(rows):
        return nothing
    filled = jnp.resize(rows, (-(-len(rows) // ROWS), min(ROWS, len(rows))))

    def step(nearest: Array, some: Array) -> tuple[Array, None]:
        return jnp.maximum(nearest, (z @ z[some].T).max(1)), None

    return jax.lax.scan(step, nothing, filled)[0]
