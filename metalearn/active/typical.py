"""Typical images of the clusters of a pool (Hacohen, Dekel & Weinshall 2022, TypiClust)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from metalearn.active.kmeans import k_means
from metalearn.active.pool import Pool
from metalearn.types import Array, Key

MOST_CLUSTERS = 2000
NEIGHBOURS = 20  # that tell how typical an image is, or half of its cluster where that is smaller
SMALL = 5  # images; smaller clusters come last
BLOCK = 128  # images of sorted clusters compared with others at once


def typiclust(key: Key, pool: Pool, k: int) -> Array:
    """The most typical image of each of the largest clusters that have no labelled image.

    As many clusters as there will be labelled images, at most 2,000 (section 3.2). Each is asked in
    turn: those without labelled images first, larger ones first; then again, for the next most
    typical one.

    Deviations: at most 2,000 clusters, not 500, as the second choice of a cluster repeats the first
    (docs/findings.md has both); clusters of fewer than five images come last, and are not left out,
    so that small pools can be asked for; what is typical of a cluster is not found anew after an
    image is taken.
    """
    clusters = _clusters(pool, k)
    return typical_of(pool, k_means(key, pool.z, clusters).of, k, clusters)


def typical_of(pool: Pool, of: Array, k: int, clusters: int) -> Array:
    """Positions int32 [k]: the most typical free image of each cluster in turn.

    Args:
      pool: of N images.
      of: int [N], cluster of each.
      k: images.
      clusters: how many.
    """
    # An image that is labelled tells no more what is typical of those that are not
    ranked = jnp.where(pool.free & _asked(pool, of, k, clusters)[of], of, clusters)
    return in_turn(pool, of, typicality(pool.z, ranked, clusters), k, clusters)


def diverse(key: Key, pool: Pool, k: int) -> Array:
    """The image nearest to the mean of each of the largest clusters that have no labelled image.

    Clusters and turns as in `typiclust`; k-means sampling, as a part of Zhdanov 2019 (Diverse
    mini-batch active learning).
    """
    clusters = _clusters(pool, k)
    found = k_means(key, pool.z, clusters)
    return in_turn(pool, found.of, -found.squares, k, clusters)


def _clusters(pool: Pool, k: int) -> int:
    return min(len(pool.labelled) + k, MOST_CLUSTERS, len(pool.z))


def _asked(pool: Pool, of: Array, k: int, clusters: int) -> Array:
    """bool [K]: clusters that are asked: the first k with free images, or all if they are fewer."""
    free = jnp.bincount(jnp.where(pool.free, of, clusters), length=clusters) > 0
    turn = _turns(pool, of, clusters)
    before = jnp.cumsum(jnp.zeros(clusters, int).at[turn].set(free))[turn]
    return free & (before <= k)


def _turns(pool: Pool, of: Array, clusters: int) -> Array:
    """int [K]: the turn of each cluster."""
    sizes = jnp.bincount(of, length=clusters)
    known = jnp.bincount(of[pool.labelled], length=clusters)
    return jnp.argsort(jnp.lexsort((-sizes, known, sizes < SMALL)))


def in_turn(pool: Pool, of: Array, scores: Array, k: int, clusters: int) -> Array:
    """Positions int32 [k]: each cluster's best free image, then each one's second, and so on.

    Args:
      pool: of N images.
      of: int [N], cluster of each.
      scores: [N], the higher the better.
      k: images.
      clusters: how many.
    """
    place = _turns(pool, of, clusters)
    free = jnp.bincount(jnp.where(pool.free, of, clusters), length=clusters)
    order = jnp.lexsort((-scores, jnp.where(pool.free, of, clusters)))  # by cluster, the best first
    sorted_of = of[order]
    begins = jnp.cumsum(free) - free
    rank = jnp.arange(len(of)) - begins[sorted_of]
    taken = jnp.lexsort((place[sorted_of], rank, ~pool.free[order]))[:k]
    return order[taken].astype(jnp.int32)


class Sorted(NamedTuple):
    """Images sorted by their clusters, filled up to whole blocks.

    Attributes:
      rows: int [P], their positions.
      cluster: int [P], of each; K for those of none.
      begins, ends: int [K+1], where each cluster's are; those of none end at 0.
    """

    rows: Array
    cluster: Array
    begins: Array
    ends: Array


def typicality(z: Array, of: Array, clusters: int) -> Array:
    """The inverse of the mean distance of each image from its nearest ones in its cluster, [N].

    Images of one cluster are neighbours once they are sorted, so each block is compared with the
    few blocks that hold its clusters: of K clusters, about N^2 / K products.

    Args:
      z: [N,D].
      of: int [N], the cluster of each, in [0, clusters); other images are `clusters`.
      clusters: K.
    """
    (number, _) = z.shape
    order = jnp.argsort(of)
    padded = -(-number // BLOCK) * BLOCK
    sizes = jnp.bincount(of, length=clusters + 1)
    ends = jnp.cumsum(sizes)
    by = Sorted(
        rows=jnp.pad(order, (0, padded - number)),
        cluster=jnp.pad(of[order], (0, padded - number), constant_values=clusters),
        begins=ends - sizes,
        # Of images that belong to no cluster nobody asks
        ends=ends.at[clusters].set(0),
    )

    def of_block(start: Array) -> Array:
        own = jax.lax.dynamic_slice_in_dim(by.cluster, start, BLOCK)
        nearest = _nearest(z, by, start)
        wanted = jnp.clip(sizes[own] // 2, 1, NEIGHBOURS)
        counted = jnp.arange(NEIGHBOURS) < jnp.minimum(wanted, sizes[own] - 1)[:, None]
        mean = jnp.where(counted, nearest, 0).sum(1) / jnp.maximum(counted.sum(1), 1)
        return 1 / jnp.maximum(mean, 1e-5)

    found = jax.lax.map(of_block, jnp.arange(0, padded, BLOCK)).reshape(-1)[:number]
    return jnp.zeros(number).at[order].set(found)


def _nearest(z: Array, by: Sorted, start: Array) -> Array:
    """Distances [BLOCK,NEIGHBOURS] of a block of sorted images from the nearest in their cluster.

    Infinite where a cluster has no more.

    Args:
      z: [N,D].
      by: the images sorted.
      start: of the block.
    """
    own = jax.lax.dynamic_slice_in_dim(by.cluster, start, BLOCK)
    x = z[jax.lax.dynamic_slice_in_dim(by.rows, start, BLOCK)]
    last = by.ends[own].max()

    def merge(state: tuple[Array, Array]) -> tuple[Array, Array]:
        (begin, nearest) = state
        others = jax.lax.dynamic_slice_in_dim(by.rows, begin, BLOCK)
        theirs = jax.lax.dynamic_slice_in_dim(by.cluster, begin, BLOCK)
        itself = (start + jnp.arange(BLOCK))[:, None] == begin + jnp.arange(BLOCK)
        apart = (own[:, None] != theirs) | itself
        distances = jnp.where(apart, jnp.inf, _distances(x, z[others]))
        both = jnp.concatenate([nearest, distances], 1)
        return begin + BLOCK, -jax.lax.top_k(-both, NEIGHBOURS)[0]

    def more(state: tuple[Array, Array]) -> Array:
        return state[0] < last

    nothing = jnp.full((BLOCK, NEIGHBOURS), jnp.inf)
    first = by.begins[own[0]] // BLOCK * BLOCK
    return jax.lax.while_loop(more, merge, (first, nothing))[1]


def _distances(x: Array, y: Array) -> Array:
    """Euclidean distances [A,B] of x [A,D] and y [B,D]."""
    squares = jnp.square(x).sum(1)[:, None] + jnp.square(y).sum(1) - 2 * x @ y.T
    return jnp.sqrt(jnp.maximum(squares, 0))
