"""Correlation alignment (Sun, Feng & Saenko 2016, CORAL)."""

import numpy as np

from metalearn.domains.types import Adapted, Domains, unchanged
from metalearn.errors import UserError

SINGULAR = 1e-10  # smallest eigenvalue of a covariance beside its largest


def coral(domains: Domains, regularisation: float = 1.0) -> Adapted:
    """The source's features, whitened and then coloured by the target's covariance (algorithm 1).

    z_s' = (z_s - mean_s) (cov_s + r I)^-1/2 (cov_t + r I)^1/2 + mean_t. In memory: [M,D] and a few
    [D,D].

    Deviations: the paper has features that are standardised first. Here they are moved from the
    source's mean to the target's, which is the same for means of zero, and r is in units of the
    mean variance of a feature, in both domains; of standardised features that is 1.

    Args:
      domains: both.
      regularisation: r; the paper's is 1. The smaller, the more equal the covariances become.

    Raises:
      UserError: a negative one; or none, and a covariance of the source that is singular.
    """
    if regularisation < 0:
        raise UserError(f"coral's regularisation is {regularisation}: give 0 or more")
    (source, target) = (_covariance(domains.source_z), _covariance(domains.target_z))
    r = regularisation * (np.trace(source) + np.trace(target)) / (2 * len(source))
    identity = np.eye(len(source))
    moved = (domains.source_z - domains.source_z.mean(0)) @ power(source + r * identity, -0.5)
    moved = moved @ power(target + r * identity, 0.5) + domains.target_z.mean(0)
    return Adapted(moved, np.ones(len(moved)), unchanged, f"identity times {r:.3g} added")


def _covariance(z: np.ndarray) -> np.ndarray:
    return np.atleast_2d(np.cov(z, rowvar=False))


def power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    """A power [D,D] of a symmetric positive matrix [D,D].

    Raises:
      UserError: a negative power of a singular one.
    """
    from scipy.linalg import eigh  # it takes long to import

    (values, vectors) = eigh(matrix)
    if exponent < 0 and values[0] <= SINGULAR * values[-1]:
        raise UserError("the source's covariance is singular: give coral a larger regularisation")
    return (vectors * np.maximum(values, 0) ** exponent) @ vectors.T
