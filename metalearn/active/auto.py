"""Images that stand for the pool as long as labels are few, then those of doubtful class."""

from metalearn.active.facility import facility_location
from metalearn.active.pool import Pool
from metalearn.active.uncertainty import by_score, margin
from metalearn.types import Array, Key

ENOUGH = 16  # labelled images a class, in the mean, from which the head's doubts tell more
MOST = 0.3  # share of the pool that is labelled, from which others are like labelled ones
by_margin = by_score(margin)


def serving_then_margin(key: Key, pool: Pool, k: int) -> Array:
    """`facility_location`, and from 16 labelled images a class, or 30 % of the pool, `margin`.

    With few labels a head is wrong where it is sure, and what it doubts is odd: images that many
    others are like are better. Later they repeat what is known (Hacohen et al. 2022, section 2, of
    low and high budgets; so Doucet et al. 2024, TCM, who change from typical images to margins
    after a fixed number of rounds). When to change was chosen among 4, 8 and 16 a class and 30 and
    50 % by validation images of CIFAR-100 and of groceries.
    """
    enough = enough_labels(len(pool.counts), len(pool.z))
    if pool.probabilities is None or len(pool.labelled) < enough:
        return facility_location(key, pool, k)
    return by_margin(key, pool, k)


def enough_labels(classes: int, images: int) -> float:
    """Labelled images from which on margins choose, of a pool of so many images."""
    return min(ENOUGH * classes, MOST * images)
