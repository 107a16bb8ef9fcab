"""Typical images first, then those that serve the pool, and at last those of doubtful class."""

import jax

from metalearn.active.facility import facility_location
from metalearn.active.kmeans import k_means
from metalearn.active.pool import Pool
from metalearn.active.typical import MOST_CLUSTERS, typical_of
from metalearn.active.uncertainty import by_score, margin
from metalearn.types import Array, Key

ENOUGH = 16  # labelled images a class, in the mean, from which the head's doubts tell more
LARGE = 50  # images of a cluster in the mean, from which one of them is typical
MOST = 0.3  # share of the pool that is labelled, from which others are like labelled ones
by_margin = by_score(margin)


def by_labels(key: Key, pool: Pool, k: int) -> Array:
    """`first_images` without labels, then `facility_location`, and with many labels `margin`.

    Many are 16 labelled images a class, or 30 % of the pool. With few labels a head is wrong where
    it is sure, and what it doubts is odd: images that many others are like are better. Later they
    repeat what is known (Hacohen et al. 2022, section 2, of low and high budgets; so Doucet et al.
    2024, TCM, who change from typical images to margins after a fixed number of rounds). When to
    change was chosen among 4, 8 and 16 a class and 30 and 50 % by validation images of CIFAR-100
    and of groceries.
    """
    if len(pool.labelled) == 0:
        return first_images(key, pool, k)
    enough = enough_labels(len(pool.counts), len(pool.z))
    if pool.probabilities is None or len(pool.labelled) < enough:
        return facility_location(key, pool, k)
    return by_margin(key, pool, k)


def first_images(key: Key, pool: Pool, k: int) -> Array:
    """Typical images of as many clusters, by k-means begun at the images of `facility_location`.

    Those of `facility_location` themselves where clusters would be more than 2,000, or of fewer
    than 50 images in the mean: among so few none is typical. The number was chosen by validation
    images of CIFAR-100 and of groceries.

    Deviation from `typiclust`: its clusters begin at images drawn by k-means++ (docs/findings.md
    has both).
    """
    (choosing, moving) = jax.random.split(key)
    serving = facility_location(choosing, pool, k)
    if k > min(MOST_CLUSTERS, len(pool.z) // LARGE):
        return serving
    clusters = k_means(moving, pool.z, k, pool.z[serving])
    return typical_of(pool, clusters.of, k, k)


def enough_labels(classes: int, images: int) -> float:
    """Labelled images from which on margins choose, of a pool of so many images."""
    return min(ENOUGH * classes, MOST * images)
