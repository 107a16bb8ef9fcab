"""Heads on frozen features, for simulations."""

from functools import partial

import numpy as np

from metalearn.active.simulation import Fit, Head
from metalearn.errors import UserError
from metalearn.transfer.probes import KINDS, apply_probe, fit_probe

AUTO = "auto"
ENOUGH = 2  # labelled images a class, in the mean, from which ridge regression is better


def head_fit(kind: str, classes: int) -> Fit:
    """What fits heads to labelled features that are less the mean of the pool.

    `auto` takes cosine centroids below two labelled images a class, of those that have any, and
    ridge regression from there; as recognisers of few photographs do.

    Args:
      kind: `auto`, or a key of `KINDS`.
      classes: C.

    Raises:
      UserError: unknown kind.
    """
    if kind not in (AUTO, *KINDS):
        raise UserError(f"unknown classifier '{kind}': choose one of {AUTO}, {', '.join(KINDS)}")

    def fit(z: np.ndarray, y: np.ndarray) -> Head:
        few = len(y) < ENOUGH * len(np.unique(y))
        chosen = kind if kind != AUTO else "centroid" if few else "ridge"
        return partial(apply_probe, fit_probe(chosen, z, y, classes, centred=True))

    return fit
