"""What strategies are written in: a pool of unlabelled images, and a way to choose some of them.

N images of the pool, L labelled ones, k to choose, M members of a committee.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metalearn.types import Array, Key, PyTree

ROWS = 1024  # of a pool compared with all others at once
BLOCK = 64  # scores of which the highest is found first


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
    (tied, ordering) = jax.random.split(key)
    scores = jnp.where(free, scores, -jnp.inf)
    (values, places) = highest(scores, k)
    last = values[-1]

    def draw() -> Array:
        better = (values > last).sum()
        ties = jax.random.uniform(tied, scores.shape)
        equal = highest(jnp.where(free & (scores == last), ties, -1), k)[1]
        number = jnp.arange(k)
        return jnp.where(number < better, places, equal[jnp.maximum(number - better, 0)])

    def keep() -> Array:
        return places

    # Most pools have no ties, and drawing takes longer than all else
    places = jax.lax.cond((free & (scores >= last)).sum() > k, draw, keep)
    order = jnp.lexsort((jax.random.uniform(ordering, (k,)), -scores[places]))
    return places[order].astype(jnp.int32)


def highest(scores: Array, k: int) -> tuple[Array, Array]:
    """The k highest of scores [N], and their positions, as `jax.lax.top_k` has them.

    They lie in the k blocks with the highest maxima; so the pool is read once, and little sorted.
    """
    (number,) = scores.shape
    blocks = -(-number // BLOCK)
    if blocks <= 2 * k:
        return jax.lax.top_k(scores, k)
    padded = jnp.pad(scores, (0, blocks * BLOCK - number), constant_values=-jnp.inf)
    rows = padded.reshape(blocks, BLOCK)
    # In their order, so that of equal ones the first comes first
    chosen = jnp.sort(jax.lax.top_k(rows.max(1), k)[1])
    (values, places) = jax.lax.top_k(rows[chosen].reshape(-1), k)
    return values, chosen[places // BLOCK] * BLOCK + places % BLOCK


def random(key: Key, pool: Pool, k: int) -> Array:
    """Images drawn at random."""
    return best(key, jnp.zeros(len(pool.z)), pool.free, k)


class Part(NamedTuple):
    """Images of a pool, or all.

    Attributes:
      rows: int32 [M], their positions.
      pool: those images; without the labelled ones' positions, a head and a committee.
      known: [L,D], features of the labelled images, in the part or not.
    """

    rows: Array
    pool: Pool
    known: Array


def part_of(key: Key, pool: Pool, most: int) -> Part:
    """At most so many images of a pool, drawn; free ones first.

    Args:
      key: draws.
      pool: of N images.
      most: images.
    """
    number = len(pool.z)
    rows = jnp.arange(number, dtype=jnp.int32)
    some = Pool(pool.z, pool.free, pool.labelled[:0], pool.counts)
    if number > most:
        order = jax.random.permutation(jax.random.fold_in(key, 0), rows)
        rows = order[jnp.argsort(~pool.free[order], stable=True)][:most]
        some = some._replace(z=pool.z[rows], free=pool.free[rows])
    return Part(rows, some, pool.z[pool.labelled])


def in_blocks(function: Callable[[Array], PyTree], z: Array, size: int) -> PyTree:
    """`function(z)` of rows [N,D] that do not depend on each other, some at a time.

    The last block begins where a whole one is left, so that no copy of z is filled up, which
    `jax.lax.map` would make.

    Args:
      function: `[B,D] -> [B,...]`, or several arrays.
      z: [N,D].
      size: rows at a time.
    """
    number = len(z)
    block = min(size, number)

    def fill(i: Array, found: PyTree) -> PyTree:
        start = jnp.minimum(i * block, number - block)
        new = function(jax.lax.dynamic_slice_in_dim(z, start, block))

        def put(old: Array, rows: Array) -> Array:
            return jax.lax.dynamic_update_slice_in_dim(old, rows, start, 0)

        return jax.tree.map(put, found, new)

    shapes = jax.eval_shape(function, z[:block])
    nothing = jax.tree.map(lambda one: jnp.zeros((number, *one.shape[1:]), one.dtype), shapes)
    return jax.lax.fori_loop(0, -(-number // block), fill, nothing)


def nearest_of(z: Array, known: Array) -> Array:
    """Cosine [N] of each image to the nearest of some others; -inf where there are none.

    Args:
      z: [N,D], of length one.
      known: [L,D], of length one.
    """
    nothing = jnp.full(len(z), -jnp.inf)
    if not len(known):
        return nothing
    blocks = -(-len(known) // ROWS)
    filled = jnp.resize(jnp.arange(len(known)), (blocks, min(ROWS, len(known))))

    def step(nearest: Array, some: Array) -> tuple[Array, None]:
        return jnp.maximum(nearest, (z @ known[some].T).max(1)), None

    return jax.lax.scan(step, nothing, filled)[0]
