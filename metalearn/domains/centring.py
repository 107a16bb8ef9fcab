"""Each domain by its own mean, and its own deviations: the free baselines."""

import numpy as np

from metalearn.domains.types import Adapted, Domains, unchanged
from metalearn.transfer.logistic import standardisation


def none(domains: Domains) -> Adapted:
    """Nothing is adapted: a classifier of the source alone."""
    return Adapted(domains.source_z, np.ones(len(domains.source_z)), unchanged, "")


def recentre(domains: Domains) -> Adapted:
    """Each domain less its own mean; new images less the target's.

    Right where the domains differ by a shift and have the same shares of classes.
    """
    middle = domains.target_z.mean(0)

    def transform(z: np.ndarray) -> np.ndarray:
        return unchanged(z) - middle

    source = domains.source_z - domains.source_z.mean(0)
    return Adapted(source, np.ones(len(source)), transform, "")


def z_score(domains: Domains) -> Adapted:
    """Each feature less its domain's mean and over its domain's standard deviation.

    What batch normalisation with the target's statistics does to a layer (Li et al. 2016,
    Revisiting batch normalization for practical domain adaptation), here to features. One that does
    not vary in a domain is 0 there.
    """
    (source_mean, source_std) = standardisation(domains.source_z)
    (target_mean, target_std) = standardisation(domains.target_z)

    def transform(z: np.ndarray) -> np.ndarray:
        return (unchanged(z) - target_mean) / target_std

    source = (domains.source_z - source_mean) / source_std
    still = int(np.isinf(source_std).sum() + np.isinf(target_std).sum())
    note = f"{still} features of a domain do not vary" if still else ""
    return Adapted(source, np.ones(len(source)), transform, note)
