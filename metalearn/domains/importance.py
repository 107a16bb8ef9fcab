"""Kullback-Leibler importance estimation (Sugiyama et al. 2008, KLIEP).

The ratio of the densities, target over source, as a mixture of Gaussians about target images.
"""

from typing import NamedTuple

import numpy as np

from metalearn.domains.kernels import median_distance, squared_distances
from metalearn.errors import UserError

WIDTHS = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.5, 2.5)  # median distances
FOLDS = 5
REACH = 1e-8  # mean of a centre's Gaussian over the source; those that reach less are left out
TINY = 1e-300
GAP = 1e-4  # nats


class Mixture(NamedTuple):
    """A mixture of Gaussians, each of mean 1 over the source.

    Attributes:
      shares: [B], not negative, sum 1; the paper's alpha times the Gaussian's mean.
      gap: how far the mean log-likelihood is below the highest at most, in nats.
    """

    shares: np.ndarray
    gap: float


class Found(NamedTuple):
    """Weights with the width that they were found by.

    Attributes:
      weights: [M], of mean 1.
      width: of the Gaussians, in the unit of distances.
      likelihood: mean log-ratio, in nats, of held-out target images.
      gap: as of the `Mixture`.
    """

    weights: np.ndarray
    width: float
    likelihood: float
    gap: float


def mixture(at_target: np.ndarray, tolerance: float = GAP, most: int = 5000) -> Mixture:
    """The likeliest shares by Gaussians [N,B] at the target, each over its mean at the source.

    sum_b share_b = 1 is the constraint that the mean weight is 1. By expectation
    maximisation, share_b <- share_b g_b, with g_b the slope of the mean log-likelihood: it never
    falls, and by its concavity the highest is above it by max g - 1 at most. Deviation: the paper
    climbs the slope and projects; the problem is the same.
    """
    shares = np.full(at_target.shape[1], 1 / at_target.shape[1])
    for _ in range(most):
        slope = slopes(at_target, shares)
        gap = float(slope.max() - 1)
        if gap <= tolerance:
            break
        shares = shares * slope
    return Mixture(shares / shares.sum(), gap)


def slopes(at_target: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Derivatives [B] of the mean log-likelihood; 1 at the optimum, or less where a share is 0."""
    density = np.maximum(at_target @ shares, TINY)
    return (1 / density) @ at_target / len(at_target)


def importance(
    source_z: np.ndarray, target_z: np.ndarray, centres: int = 100, seed: int = 0
) -> Found:
    """Weights of the source's images, of mean 1.

    The width has the highest likelihood of held-out target images in five folds (section 2.3). In
    memory: [M,B] and [N,B].

    Args:
      source_z: [M,D].
      target_z: [N,D].
      centres: B, target images drawn as centres, at most.
      seed: of centres and folds.

    Raises:
      UserError: no centre reaches the source's images by any width.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(target_z))
    middles = target_z[order[:centres]]
    folds = random.permutation(len(target_z)) % min(FOLDS, len(target_z))
    source = squared_distances(source_z, middles)
    target = squared_distances(target_z, middles)
    unit = median_distance(np.concatenate([source_z, target_z]))
    (best, at_best) = (-np.inf, None)
    for width in WIDTHS:
        parts = _gaussians(source, target, width * unit)
        if parts is not None and (score := _held_out(parts[1], folds)) > best:
            (best, at_best) = (score, (width * unit, *parts))
    if at_best is None:
        raise UserError("the domains do not overlap: no weights make the source like the target")
    (chosen, at_source, at_target) = at_best
    found = mixture(at_target)
    return Found(at_source @ found.shares, chosen, best, found.gap)


def _gaussians(
    source: np.ndarray, target: np.ndarray, width: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Gaussians at the source [M,B] and at the target [N,B] over their means at the source."""
    at_source = np.exp(-source / (2 * width**2))
    means = at_source.mean(0)
    keep = means > REACH
    if not keep.any():
        return None
    at_target = np.exp(-target[:, keep] / (2 * width**2))
    return at_source[:, keep] / means[keep], at_target / means[keep]


def _held_out(at_target: np.ndarray, folds: np.ndarray) -> float:
    """Mean log-ratio of target images by mixtures of the others."""
    logs = np.empty(len(folds))
    for fold in range(folds.max() + 1):
        held = folds == fold
        shares = mixture(at_target[~held], 1e-3).shares
        logs[held] = np.log(np.maximum(at_target[held] @ shares, TINY))
    return float(logs.mean())
