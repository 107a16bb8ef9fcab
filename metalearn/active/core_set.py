"""Images such that none of the pool is far from a labelled one (Sener & Savarese 2018)."""

import jax
import jax.numpy as jnp

from metalearn.active.ahead import AHEAD, greedy
from metalearn.active.pool import Pool, nearest_of
from metalearn.active.pool import random as drawn
from metalearn.types import Array, Key

State = tuple[Array, Array]  # cosine of each to the nearest labelled or chosen one, and which free


def k_centre(key: Key, pool: Pool, k: int) -> Array:
    """The free image that is farthest from all labelled ones, again and again (Algorithm 1).

    Features have length one, so Euclidean distances order images as cosines do. The first image is
    drawn where none is labelled. Those that are farthest now are likely to be chosen soon.
    """
    z = pool.z
    begun = len(pool.labelled) > 0
    first = None if begun else drawn(key, pool, 1)[0]

    def distances(state: State) -> Array:
        (nearest, free) = state
        return jnp.where(free, -nearest, -jnp.inf)

    def likely(state: State, number: Array) -> Array:
        del number
        return jax.lax.top_k(distances(state), min(AHEAD, len(z)))[1].astype(jnp.int32)

    def choose(state: State, number: Array) -> Array:
        farthest = distances(state).argmax().astype(jnp.int32)
        return farthest if first is None else jnp.where(number == 0, first, farthest)

    def take(state: State, place: Array, cosines: Array) -> State:
        (nearest, free) = state
        return jnp.maximum(nearest, cosines), free.at[place].set(False)

    def columns(places: Array) -> Array:
        return (z @ z[places].T).T

    begin = (nearest_of(z, z[pool.labelled]), pool.free)
    return greedy(likely, choose, columns, take, begin, k)
