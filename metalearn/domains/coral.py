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
    variance = [z.var(0, ddof=1).mean() for z in (domains.source_z, domains.target_z)]
    r = regularisation * sum(variance) / 2
    moved = (domains.source_z - domains.source_z.mean(0)) @ power(domains.source_z, r, -0.5)
    moved = moved @ power(domains.target_z, r, 0.5) + domains.target_z.mean(0)
    return Adapted(moved, np.ones(len(moved)), unchanged, f"identity times {r:.3g} added")


def power(z: np.ndarray, added: float, exponent: float) -> np.ndarray:
    """A power [D,D] of the covariance of features z [M,D], the identity times `added` added to it.

    Where there are no more images than features, by the singular values of the images: their
    covariance would have many equal eigenvalues, at which solvers may fail.

    Raises:
      UserError: a negative power of a singular matrix.
    """
    from scipy.linalg import eigh  # it takes long to import

    (number, size) = z.shape
    x = (z - z.mean(0)) / np.sqrt(number - 1)
    if number <= size:
        (_, lengths, rows) = np.linalg.svd(x, full_matrices=False)
        values = np.square(lengths)
        axes = rows.T
        rest = added  # the eigenvalue along every other axis
    else:
        (values, axes) = eigh(x.T @ x, driver="evd")
        rest = values.min() + added
    values = np.maximum(values, 0) + added
    if exponent < 0 and rest <= SINGULAR * values.max():
        raise UserError("the source's covariance is singular: give coral a larger regularisation")
    base = max(rest, 0.0) ** exponent
    return base * np.eye(size) + (axes * (values**exponent - base)) @ axes.T
