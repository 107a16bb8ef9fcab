"""Negative transfer: whether adapting made a classifier worse than the source alone does."""

from typing import NamedTuple

import numpy as np

from metalearn.errors import UserError

LEVEL = 0.95


class Gain(NamedTuple):
    """What adapting brought, over seeds.

    Attributes:
      mean: adapted less source-only.
      low, high: its confidence interval.
      negative: whether all of the interval is below 0.
    """

    mean: float
    low: float
    high: float
    negative: bool


def gain(adapted: np.ndarray, source_only: np.ndarray, level: float = LEVEL) -> Gain:
    """The mean difference of accuracies [S] of the same seeds, by Student's t of the pairs.

    Args:
      adapted: [S], accuracies in the target's test images.
      source_only: [S], of the classifier of the source alone, in the same order.
      level: of the interval.

    Raises:
      UserError: numbers that do not fit each other, or those of fewer than two seeds.
    """
    from scipy.stats import t  # it takes long to import

    (first, second) = (np.asarray(adapted, np.float64), np.asarray(source_only, np.float64))
    if first.shape != second.shape or first.ndim != 1:
        raise UserError(f"accuracies {first.shape} and {second.shape}: give one a seed of both")
    if len(first) < 2:
        raise UserError(f"{len(first)} seed: an interval takes two or more")
    differences = first - second
    mean = float(differences.mean())
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    half = float(t.ppf((1 + level) / 2, len(differences) - 1) * error)
    return Gain(mean, mean - half, mean + half, mean + half < 0)
