"""Weights of the source's images in the loss, by which it is like the target.

Right where the domains differ in how often images occur, and not in what an image's class is
(covariate shift; Shimodaira 2000). Features stay as they are. A classifier that has no loss, such
as the nearest image, takes no notice of weights. Weights of 0 become a millionth of the mean one.
"""

import numpy as np

from metalearn.domains.discriminator import density_ratio
from metalearn.domains.importance import GAP, importance
from metalearn.domains.kernels import Kernel
from metalearn.domains.mean_matching import mean_matching
from metalearn.domains.types import Adapted, Domains, unchanged
from metalearn.errors import UserError

TOLERANCE = 1e-6  # of the squared distance of means in the kernel's feature space
LEAST = 1e-6  # a weight, in means: a class whose images had none at all would not be known


def effective(weights: np.ndarray) -> float:
    """Effective sample size (sum w)^2 / sum w^2 of weights [M] (Kish 1965): M of equal ones."""
    return float(weights.sum() ** 2 / np.square(weights).sum())


def kmm(domains: Domains, width: float = 1.0, bound: float = 1000.0) -> Adapted:
    """Kernel mean matching with a Gaussian kernel; the mean weight may be off by about 1.

    The slack (sqrt(M) - 1) / sqrt(M) of the mean weight and the bound are the paper's; weights are
    brought to a mean of 1 afterwards. In memory: three times [M,M].

    Args:
      domains: both.
      width: of the kernel, in median distances.
      bound: of a weight.

    Raises:
      UserError: a bound below 1, by which weights cannot have a mean of 1.
    """
    if bound < 1:
        raise UserError(f"kmm's bound of a weight is {bound}: give 1 or more")
    both = np.concatenate([domains.source_z, domains.target_z])
    kernel = Kernel("rbf", both, width)
    source = domains.source_z
    root = np.sqrt(len(source))
    across = kernel(source, domains.target_z)
    found = mean_matching(kernel(source, source), across, bound, (root - 1) / root, TOLERANCE)
    how = f"kernel of width {kernel.scale:.3g}"
    if found.gap > TOLERANCE * len(source) ** 2:
        how += f"; not converged in {found.steps} steps"
    return _weighted(domains, found.weights, how)


def kliep(domains: Domains, centres: int = 100, seed: int = 0) -> Adapted:
    """Weights by Kullback-Leibler importance estimation, see `importance`.

    Args:
      domains: both.
      centres: target images that Gaussians are about, at most.
      seed: of the draw of centres and folds.

    Raises:
      UserError: no centre; domains that do not overlap.
    """
    if centres < 1:
        raise UserError(f"kliep's centres are {centres}: give 1 or more")
    found = importance(domains.source_z, domains.target_z, centres, seed)
    how = f"Gaussians of width {found.width:.3g} by likelihood ({found.likelihood:.3g} nats)"
    if found.gap > GAP:
        how += f"; not converged, {found.gap:.2g} nats below the best at most"
    return _weighted(domains, found.weights, how)


def discriminator(domains: Domains) -> Adapted:
    """Weights by the odds of a logistic classifier of domains, see `density_ratio`."""
    ratio = density_ratio(domains.source_z, domains.target_z)
    how = f"domain classifier with C {ratio.c:.3g} by likelihood"
    return _weighted(domains, ratio.at(domains.source_z), how)


def _weighted(domains: Domains, weights: np.ndarray, how: str) -> Adapted:
    weights = np.maximum(weights / weights.mean(), LEAST)
    weights /= weights.mean()
    size = f"effective sample size {effective(weights):.0f} of {len(weights)}"
    return Adapted(domains.source_z, weights, unchanged, f"{how}; {size}")
