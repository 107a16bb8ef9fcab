"""The classifier by the nearest image (1-NN; Cover & Hart 1967), which domains are compared by."""

import numpy as np

from metalearn.domains.kernels import squared_distances
from metalearn.transfer.fitted import UNSEEN, Sample
from metalearn.transfer.scores import likeliest_scale

ROWS = 512  # compared with all training images at once


def nearest_logits(z: np.ndarray, y: np.ndarray, classes: int, new: np.ndarray) -> np.ndarray:
    """Logits float64 [A,C] of new images: the squared distance to each class's nearest, negative.

    The largest is that of the nearest image of all; classes without images never win. In memory:
    512 rows of distances.

    Args:
      z: [M,E], training images.
      y: int [M] in [0, C).
      classes: C.
      new: [A,E].
    """
    order = np.argsort(y, kind="stable")
    (present, begins) = np.unique(y[order], return_index=True)
    ordered = np.asarray(z, np.float64)[order]
    nearest = np.empty((len(new), len(present)))
    for first in range(0, len(new), ROWS):
        block = np.asarray(new[first : first + ROWS], np.float64)
        distances = squared_distances(block, ordered)
        nearest[first : first + ROWS] = np.minimum.reduceat(distances, begins, axis=1)
    worst = nearest.max() if nearest.size else 0.0
    logits = np.full((len(new), classes), UNSEEN - worst)
    logits[:, present] = -nearest
    return logits


def calibrated(logits: np.ndarray, y: np.ndarray, present: np.ndarray) -> np.ndarray:
    """`nearest_logits` [A,C] times what makes those of the first images the likeliest.

    It is the same for features of any scale, see `likeliest_scale`.

    Args:
      logits: [A,C], not changed.
      y: int [V], labels of the first V images, all present.
      present: int [P], the classes that have images, ascending.
    """
    found = logits.copy()
    distances = logits[:, present] / max(np.abs(logits[:, present]).mean(), 1e-300)
    known = Sample(distances[: len(y)], np.searchsorted(present, y), np.ones(len(present)))
    found[:, present] = likeliest_scale(known.z, known, smoothed=True) * distances
    return found
