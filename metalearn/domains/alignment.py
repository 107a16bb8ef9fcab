"""Subspace alignment (Fernando, Habrard, Sebban & Tuytelaars 2013)."""

import numpy as np

from metalearn.domains.types import Adapted, Domains, unchanged
from metalearn.errors import UserError

SHARE = 0.95  # of the variance of either domain


def subspace(domains: Domains, dimensions: int = 0) -> Adapted:
    """The source's principal axes turned to the target's (algorithm 1).

    With the leading principal axes P_s and P_t [D,E] of the domains, the source is
    (z - mean_s) P_s P_s' P_t and the target (z - mean_t) P_t.

    Deviation: the paper bounds E by the stability of the axes and chooses it by cross-validation of
    the source's images. Here it is as many as hold 95% of either domain's variance. What is
    standardised first in the paper is only centred; `z_score` of features does the rest.

    Args:
      domains: both.
      dimensions: E, at most; the features and the images of a domain less one limit it too. 0 for
        the above.

    Raises:
      UserError: a number below 0.
    """
    parts = [_axes(domains.source_z), _axes(domains.target_z)]
    most = min(axes.shape[1] for _, axes in parts)
    if dimensions < 0:
        raise UserError(f"{dimensions} dimensions of subspaces: give 1 or more, or 0 to choose")
    found = min(most, dimensions or max(_enough(values) for values, _ in parts))
    (source_axes, target_axes) = (axes[:, :found] for _, axes in parts)
    middle = domains.target_z.mean(0)

    def transform(z: np.ndarray) -> np.ndarray:
        return (unchanged(z) - middle) @ target_axes

    source = (domains.source_z - domains.source_z.mean(0)) @ source_axes
    aligned = source @ (source_axes.T @ target_axes)
    return Adapted(aligned, np.ones(len(source)), transform, f"{found} dimensions")


def _axes(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared singular values [R], the largest first, and the principal axes [D,R]."""
    (_, values, rows) = np.linalg.svd(z - z.mean(0), full_matrices=False)
    most = max(1, min(len(z) - 1, z.shape[1]))
    return np.square(values[:most]), rows[:most].T


def _enough(values: np.ndarray) -> int:
    """How many axes hold a share of the variance."""
    shares = np.cumsum(values) / values.sum()
    return int(np.searchsorted(shares, SHARE)) + 1
