"""Images whose gradients are large and different from each other (Ash et al. 2020, BADGE)."""

import jax
import jax.numpy as jnp

from metalearn.active.pool import Pool, random
from metalearn.types import Array, Key


def badge(key: Key, pool: Pool, k: int) -> Array:
    """k-means++ on the gradients of the last layer, as if its guesses were right (Algorithm 1).

    The gradient of the cross-entropy by the weights of a linear layer is the outer product of the
    error a = p - onehot(argmax p) and the features z, so a product of two gradients is
    (a.a')(z.z'), and none is built: C x D numbers an image are never in memory. The first image
    has the largest gradient, as in the authors' program; the others are drawn by their squared
    distance from the nearest one chosen.
    """
    if pool.probabilities is None:
        return random(key, pool, k)
    z = pool.z
    p = pool.probabilities
    errors = p - jax.nn.one_hot(p.argmax(-1), p.shape[-1])
    lengths = jnp.square(errors).sum(-1) * jnp.square(z).sum(-1)

    def step(carry: tuple[Array, Array, Array], key: Key) -> tuple[tuple, Array]:
        (distances, free, place) = carry
        distances = jnp.minimum(distances, gradient_distances(errors, z, place))
        # A free image always has a chance, even if its gradient is one that was chosen
        chances = jnp.where(free, jnp.log(jnp.maximum(distances, 1e-30)), -jnp.inf)
        found = jax.random.categorical(key, chances).astype(jnp.int32)
        return (distances, free.at[found].set(False), found), found

    first = jnp.where(pool.free, lengths, -jnp.inf).argmax().astype(jnp.int32)
    free = pool.free.at[first].set(False)
    begin = (jnp.full(len(z), jnp.inf), free, first)
    others = jax.lax.scan(step, begin, jax.random.split(key, k - 1))[1]
    return jnp.concatenate([first[None], others])


def gradient_distances(errors: Array, z: Array, place: Array) -> Array:
    """Squared distances [N] of all gradients, outer products of errors and features, from one.

    Args:
      errors: [N,C].
      z: [N,D].
      place: of the one.
    """
    lengths = jnp.square(errors).sum(-1) * jnp.square(z).sum(-1)
    products = (errors @ errors[place]) * (z @ z[place])
    return jnp.maximum(lengths + lengths[place] - 2 * products, 0)
