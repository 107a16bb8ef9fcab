"""Kernel mean matching (Huang, Smola, Gretton, Borgwardt & Schoelkopf 2007).

Weights of the source's images by which its mean in a kernel's feature space is the target's.
"""

from typing import NamedTuple

import numpy as np

HALVINGS = 100  # of the shift that makes weights add up


class Solution(NamedTuple):
    """Weights and how they were found.

    Attributes:
      weights: [M], not below 0 and not above their bound.
      gap: how far the objective is above the least one at most, in the objective's unit.
      steps: that it took.
    """

    weights: np.ndarray
    gap: float
    steps: int


def mean_matching(
    within: np.ndarray,
    across: np.ndarray,
    bound: float,
    slack: float,
    tolerance: float = 1e-6,
    most: int = 3000,
) -> Solution:
    """Least w' K w / 2 - kappa' w for 0 <= w <= bound, |sum w - M| <= M slack.

    kappa_i is M / N times the sum of the kernel of source image i with the target's. By accelerated
    projected gradients (Beck & Teboulle 2009, FISTA), whose momentum begins anew where it points
    uphill (O'Donoghue & Candes 2015, the gradient scheme). The gap is the linear program's over the
    same weights, by the gradient (Frank & Wolfe 1956), and so an upper bound. In memory: [M,M].

    Args:
      within: K [M,M], kernel of the source.
      across: [M,N], of the source with the target.
      bound: of a weight.
      slack: of the mean weight.
      tolerance: of the gap, times M^2.
      most: steps.
    """
    number = len(within)
    kappa = across.mean(1) * number
    limits = (number * max(0.0, 1 - slack), number * (1 + slack))
    step = 1 / np.abs(within).sum(1).max()  # not above 1 / the largest eigenvalue
    w = np.ones(number)
    product = within @ w
    (ahead, ahead_product, momentum) = (w, product, 1.0)
    (gap, count) = (np.inf, 0)
    while count < most:
        new = project(ahead - step * (ahead_product - kappa), bound, limits)
        new_product = within @ new
        if (ahead - new) @ (new - w) > 0:
            momentum = 1.0
        later = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        share = (momentum - 1) / later
        ahead = new + share * (new - w)
        ahead_product = new_product + share * (new_product - product)
        (w, product, momentum) = (new, new_product, later)
        gradient = product - kappa
        gap = float(gradient @ w - _least(gradient, bound, limits))
        count += 1
        if gap <= tolerance * number**2:
            break
    return Solution(w, gap, count)


def project(x: np.ndarray, bound: float, limits: tuple[float, float]) -> np.ndarray:
    """The nearest weights [M] in [0, bound] whose sum is within limits, by halving of a shift."""
    found = np.clip(x, 0, bound)
    total = found.sum()
    if limits[0] <= total <= limits[1]:
        return found
    aim = limits[0] if total < limits[0] else limits[1]
    (low, high) = (-x.max(), bound - x.min())
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if np.clip(x + middle, 0, bound).sum() < aim:
            low = middle
        else:
            high = middle
    return np.clip(x + high, 0, bound)


def _least(gradient: np.ndarray, bound: float, limits: tuple[float, float]) -> float:
    """The least product of a gradient and allowed weights: the bound for the steepest, in turn."""
    ordered = np.sort(gradient)
    before = bound * np.arange(len(ordered))
    below = int((ordered < 0).sum())
    total = min(max(bound * below, limits[0]), limits[1])
    return float(ordered @ np.clip(total - before, 0, bound))
