"""Typical images as long as labels are few, then those that the head is least sure of."""

from metalearn.active.pool import Pool
from metalearn.active.typical import typiclust
from metalearn.active.uncertainty import by_score, margin
from metalearn.types import Array, Key

ENOUGH = 8  # labelled images a class, in the mean, from which the head's doubts tell more
MOST = 0.5  # share of the pool that is labelled, from which clusters are too small to be typical of
by_margin = by_score(margin)


def typical_then_margin(key: Key, pool: Pool, k: int) -> Array:
    """`typiclust`, and from 8 labelled images a class, or half of the pool, `margin`.

    With few labels a head is wrong where it is sure, and what it doubts is odd: typical images are
    better. Later they repeat what is known (Hacohen et al. 2022, section 2, of low and high
    budgets; so Doucet et al. 2024, TCM, who change from the one to the other after a fixed number
    of rounds). 8 was chosen among 2, 4, 8 and 16 by validation images of CIFAR-100, by those of the
    groceries and by validation classes of CIFAR-FS.
    """
    enough = enough_labels(len(pool.counts), len(pool.z))
    if pool.probabilities is None or len(pool.labelled) < enough:
        return typiclust(key, pool, k)
    return by_margin(key, pool, k)


def enough_labels(classes: int, images: int) -> float:
    """Labelled images from which on margins choose, of a pool of so many images."""
    return min(ENOUGH * classes, MOST * images)
