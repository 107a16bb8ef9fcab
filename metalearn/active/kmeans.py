"""k-means of features (Lloyd 1982), begun by k-means++ (Arthur & Vassilvitskii 2007) or as asked.

Compiled, and in memory linear in the number of images: distances are computed in blocks.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metalearn.active.pool import ROWS, in_blocks
from metalearn.types import Array, Key

ITERATIONS = 25  # at most; features of images hardly move afterwards
SETTLED = 1e-4  # share of the squared error by which an iteration must lower it
SAMPLE = 20  # images a cluster among which the first centres are drawn
MOVED = 256  # images a cluster, drawn, whose means are taken; more hardly move a mean


class Clusters(NamedTuple):
    """Clusters of N images.

    Attributes:
      centres: [K,D].
      of: int32 [N], the cluster of each image.
      squares: [N], squared distance of each from its centre.
    """

    centres: Array
    of: Array
    squares: Array


def k_means(key: Key, z: Array, clusters: int, begin: Array | None = None) -> Clusters:
    """Clusters of features z [N,D]; N is at least `clusters`.

    A cluster that has lost all images keeps its centre. Centres are means of 256 images a cluster
    in the mean, drawn at random, where there are more (as in FAISS, Johnson et al. 2017); all
    images are assigned in the end.

    Args:
      key: draws.
      z: the features.
      clusters: K.
      begin: the first centres [K,D]; None: drawn by k-means++ among 20 images a cluster, which are
        drawn at random.
    """
    (drawing, seeding) = jax.random.split(key)
    order = jax.random.permutation(drawing, len(z))
    if begin is None:
        begin = _seeded(seeding, z[order[: SAMPLE * clusters]], clusters)
    means = _settled(z[order[: MOVED * clusters]] if MOVED * clusters < len(z) else z, begin)
    return Clusters(means, *assign(z, means))


def _settled(z: Array, begin: Array) -> Array:
    """Means [K,D] of the images z [N,D] nearest to each, from centres [K,D] to begin with."""
    clusters = len(begin)

    def moving(state: tuple[Array, Array, Array, Array]) -> Array:
        (_, error, last, number) = state
        settled = last - error <= SETTLED * last
        return (number < 2) | ((number < ITERATIONS) & ~settled)

    def move(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        (centres, error, _, number) = state
        (of, squares) = assign(z, centres)
        sums = jax.ops.segment_sum(z, of, clusters)
        counts = jax.ops.segment_sum(jnp.ones(len(z)), of, clusters)[:, None]
        moved = jnp.where(counts > 0, sums / jnp.maximum(counts, 1), centres)
        return moved, squares.sum(), error, number + 1

    none = jnp.float32(0)
    start = (begin, none, none, jnp.int32(0))
    return jax.lax.while_loop(moving, move, start)[0]


def assign(z: Array, centres: Array) -> tuple[Array, Array]:
    """The nearest centre int32 [N] of each of z [N,D], and the squared distance [N] from it."""
    lengths = jnp.square(centres).sum(1)

    def nearest(x: Array) -> tuple[Array, Array]:
        distances = lengths - 2 * x @ centres.T
        of = distances.argmin(1).astype(jnp.int32)
        return of, jnp.maximum(distances.min(1) + jnp.square(x).sum(1), 0)

    return in_blocks(nearest, z, ROWS)


def _seeded(key: Key, z: Array, clusters: int) -> Array:
    """Centres [K,D]: of some drawn by their squared distance from those before, the best one.

    It leaves the least sum of squared distances (greedy k-means++, as in scikit-learn).
    """
    lengths = jnp.square(z).sum(1)
    trials = 2 + int(math.log(clusters))

    def step(distances: Array, key: Key) -> tuple[Array, Array]:
        chances = jnp.log(jnp.maximum(distances, 1e-30))
        places = jax.random.categorical(key, chances, shape=(trials,))
        squares = lengths + lengths[places, None] - 2 * z[places] @ z.T
        left = jnp.minimum(distances, jnp.maximum(squares, 0))
        best = left.sum(1).argmin()
        return left[best], places[best]

    far = jnp.full(len(z), 4 * lengths.max())
    places = jax.lax.scan(step, far, jax.random.split(key, clusters))[1]
    return z[places]
