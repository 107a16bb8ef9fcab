"""Images such that none of the pool is far from a labelled one (Sener & Savarese 2018)."""

import jax
import jax.numpy as jnp

from metalearn.active.pool import Pool, nearest_of
from metalearn.active.pool import random as drawn
from metalearn.types import Array, Key


def k_centre(key: Key, pool: Pool, k: int) -> Array:
    """The free image that is farthest from all labelled ones, again and again (Algorithm 1).

    Features have length one, so Euclidean distances order images as cosines do. The first image is
    drawn where none is labelled. One product of the pool with an image a step.
    """
    z = pool.z
    nearest = nearest_of(z, pool.labelled)
    begun = len(pool.labelled) > 0

    def step(carry: tuple[Array, Array], number: Array) -> tuple[tuple[Array, Array], Array]:
        (nearest, free) = carry
        farthest = jnp.where(free, -nearest, -jnp.inf).argmax().astype(jnp.int32)
        place = farthest if begun else jnp.where(number == 0, first, farthest)
        nearest = jnp.maximum(nearest, z @ z[place])
        return (nearest, free.at[place].set(False)), place

    first = drawn(key, pool, 1)[0]
    return jax.lax.scan(step, (nearest, pool.free), jnp.arange(k))[1]
