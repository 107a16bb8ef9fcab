"""Typical images as long as labels are few, then those that the head is least sure of."""

from metalearn.active.pool import Pool
from metalearn.active.typical import typiclust
from metalearn.active.uncertainty import by_score, margin
from metalearn.types import Array, Key

ENOUGH = 5  # labelled images a class, in the mean, from which the head's doubts tell more
by_margin = by_score(margin)


def typical_then_margin(key: Key, pool: Pool, k: int) -> Array:
    """`typiclust` below `ENOUGH` labelled images a class, `margin` from there."""
    if pool.probabilities is None or len(pool.labelled) < ENOUGH * len(pool.counts):
        return typiclust(key, pool, k)
    return by_margin(key, pool, k)
