"""Images that the present head is least sure of (Settles 2009, Active learning literature survey).

Scores [N] of probabilities [N,C]; the higher, the less sure.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from metalearn.active.pool import Pool, best, random
from metalearn.types import Array, Key

SURVEY = "Settles 2009"
LANES = 8  # classes compared at once


def least_confidence(p: Array) -> Array:
    """One less the highest probability."""
    return 1 - p.max(-1)


def margin(p: Array) -> Array:
    """How little the highest probability exceeds the second, negative (Scheffer et al. 2001)."""
    (number, classes) = p.shape
    lowest = jnp.array(-jnp.inf, p.dtype)
    padded = jnp.pad(p, ((0, 0), (0, -classes % LANES)), constant_values=lowest)
    highest = padded.reshape(number, -1, LANES)
    two = (highest, jnp.full_like(highest, lowest))
    # Of every eighth class first: a CPU compares eight pairs at once
    for _ in range(2):
        two = jax.lax.reduce(two, (lowest, lowest), _highest_two, (1,))
    (first, second) = two
    return second - first


def _highest_two(one: tuple[Array, Array], other: tuple[Array, Array]) -> tuple[Array, Array]:
    """The highest two of two pairs, the highest first."""
    second = jnp.minimum(one[0], other[0])
    return jnp.maximum(one[0], other[0]), jnp.maximum(second, jnp.maximum(one[1], other[1]))


def entropy(p: Array) -> Array:
    """Entropy of the probabilities, nats."""
    return jax.scipy.special.entr(p).sum(-1)


def disagreement(committee: Array) -> Array:
    """Mutual information, nats [N], of an image's class and the member of a committee [M,N,C].

    The entropy of the mean prediction less the mean entropy of the predictions: BALD (Houlsby et
    al. 2011, equation 2; of a network with dropout, Gal et al. 2017). The members are heads fitted
    to bootstrap samples (Breiman 1996), as heads on frozen features have no dropout.
    """
    return entropy(committee.mean(0)) - entropy(committee).mean(0)


def by_score(score: Callable[[Array], Array]) -> Callable[[Key, Pool, int], Array]:
    """The strategy that takes the images with the highest scores of their probabilities."""

    def pick(key: Key, pool: Pool, k: int) -> Array:
        if pool.probabilities is None:
            return random(key, pool, k)
        return best(key, score(pool.probabilities), pool.free, k)

    return pick


def bald(key: Key, pool: Pool, k: int) -> Array:
    """The images on whose class a committee disagrees most."""
    if pool.committee is None:
        return random(key, pool, k)
    return best(key, disagreement(pool.committee), pool.free, k)
