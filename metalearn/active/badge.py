"""Images whose gradients are large and different from each other (Ash et al. 2020, BADGE)."""

import jax
import jax.numpy as jnp

from metalearn.active.ahead import AHEAD, greedy
from metalearn.active.pool import Pool, random
from metalearn.types import Array, Key

State = tuple[Array, Array]  # squared distance of each from the nearest one chosen, and which free


def badge(key: Key, pool: Pool, k: int) -> Array:
    """k-means++ on the gradients of the last layer, as if its guesses were right (Algorithm 1).

    The gradient of the cross-entropy by the weights of a linear layer is the outer product of the
    error a = p - onehot(argmax p) and the features z, so a product of two gradients is
    (a.a')(z.z'), and none is built: C x D numbers an image are never in memory. The first image
    has the largest gradient, as in the authors' program; the others are drawn by their squared
    distance from the nearest one chosen. What the next draws would be now are likely to be chosen.
    Deviation: features have length one, so that a gradient's length tells the error alone.
    """
    if pool.probabilities is None:
        return random(key, pool, k)
    z = pool.z
    p = pool.probabilities
    errors = p - jax.nn.one_hot(p.argmax(-1), p.shape[-1])
    lengths = jnp.square(errors).sum(-1) * jnp.square(z).sum(-1)
    first = jnp.where(pool.free, lengths, -jnp.inf).argmax().astype(jnp.int32)
    keys = jax.random.split(key, k - 1 + AHEAD)

    def draw(state: State, key: Key) -> Array:
        (distances, free) = state
        # A free image always has a chance, even if its gradient is one that was chosen
        chances = jnp.where(free, jnp.log(jnp.maximum(distances, 1e-30)), -jnp.inf)
        return jax.random.categorical(key, chances).astype(jnp.int32)

    def likely(state: State, number: Array) -> Array:
        coming = jax.lax.dynamic_slice_in_dim(keys, number, AHEAD)
        return jax.lax.map(lambda key: draw(state, key), coming)

    def choose(state: State, number: Array) -> Array:
        return draw(state, keys[number])

    def take(state: State, place: Array, squares: Array) -> State:
        (distances, free) = state
        return jnp.minimum(distances, squares), free.at[place].set(False)

    def columns(places: Array) -> Array:
        return gradient_distances(errors, z, places).T

    far = gradient_distances(errors, z, first[None])[:, 0]
    begin = take((jnp.full(len(z), jnp.inf), pool.free), first, far)
    others = greedy(likely, choose, columns, take, begin, k - 1)
    return jnp.concatenate([first[None], others])


def gradient_distances(errors: Array, z: Array, places: Array) -> Array:
    """Squared distances [N,A] of all gradients, outer products of errors and features, from some.

    Args:
      errors: [N,C].
      z: [N,D].
      places: int [A], of those.
    """
    lengths = jnp.square(errors).sum(-1) * jnp.square(z).sum(-1)
    products = (errors @ errors[places].T) * (z @ z[places].T)
    return jnp.maximum(lengths[:, None] + lengths[places] - 2 * products, 0)
