"""Heads on frozen features, for simulations."""

import numpy as np

from metalearn.active.images import Answers, Fit, Images
from metalearn.errors import UserError
from metalearn.transfer.probes import KINDS, apply_probe, fit_probe

AUTO = "auto"
ENOUGH = 2  # labelled images a class, in the mean, from which ridge regression is better


def head_fit(kind: str) -> Fit:
    """What fits heads to labelled features that are less the mean of the pool.

    `auto` takes cosine centroids below two labelled images a class, of those that have any, and
    ridge regression from there; as recognisers of few photographs do.

    Args:
      kind: `auto`, or a key of `KINDS`.

    Raises:
      UserError: unknown kind.
    """
    if kind not in (AUTO, *KINDS):
        raise UserError(f"unknown classifier '{kind}': choose one of {AUTO}, {', '.join(KINDS)}")

    def fit(images: Images, labelled: np.ndarray) -> Answers:
        y = images.y[labelled]
        few = len(y) < ENOUGH * len(np.unique(y))
        chosen = kind if kind != AUTO else "centroid" if few else "ridge"
        probe = fit_probe(chosen, images.z[labelled], y, images.classes, centred=True)
        return Answers(apply_probe(probe, images.z), apply_probe(probe, images.test_z))

    return fit
