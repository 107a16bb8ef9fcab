"""What is fitted to the features of a few photographs: centroids, ridge or logistic regression."""

from collections.abc import Callable

import numpy as np

from metalearn.errors import UserError
from metalearn.transfer import centroid, ridge
from metalearn.transfer.fitted import Probe, Sample
from metalearn.transfer.probes import checked, fit_probe

AUTO = "auto"
# Photographs a class, in the mean, from which ridge regression is better. With one it is hardly so,
# and worse where the photographs that are asked about are of another kind (RESULTS.md)
ENOUGH = 2
# Of cosines, of one photograph a class. Chosen on validation photographs of groceries: between what
# is likeliest for photographs, and what is where product pictures are fitted to
ONE_PHOTO_SCALE = 15.0


def fit_centroid(z: np.ndarray, y: np.ndarray, classes: int, prior: float) -> Probe:
    """Cosines to class means; the features are those of an `Embedding`, less its mean.

    Args:
      z: [M,D].
      y: int [M].
      classes: C.
      prior: photographs that the mean of others counts as.
    """
    return centroid.fit(_sample(z, y, classes), None, prior, smoothed=True, fixed=ONE_PHOTO_SCALE)


def fit_ridge(z: np.ndarray, y: np.ndarray, classes: int, prior: float = 0.0) -> Probe:
    """Ridge regression; a class counts as much as another. Its bias centres by itself.

    Args:
      z: [M,D].
      y: int [M].
      classes: C.
      prior: not read.
    """
    return ridge.fit(_sample(z, y, classes), None, smoothed=True)


def fit_logistic(z: np.ndarray, y: np.ndarray, classes: int, prior: float = 0.0) -> Probe:
    """Logistic regression; a class counts as much as another. Its bias centres by itself.

    Args:
      z: [M,D].
      y: int [M].
      classes: C.
      prior: not read.
    """
    sample = _sample(z, y, classes)
    return fit_probe("logistic", sample.z, sample.y, classes, None, sample.weights)


def _sample(z: np.ndarray, y: np.ndarray, classes: int) -> Sample:
    """The features with weights by which all classes count the same.

    Raises:
      UserError: the features are no numbers, or all the same.
    """
    (z, y) = checked(z, y, classes, "fitted")
    if (z == z[0]).all():
        raise UserError("all photos look the same to the body: give others")
    counts = np.bincount(y, minlength=classes)
    return Sample(z, y, len(y) / (classes * np.maximum(counts, 1)))


HEADS: dict[str, Callable[[np.ndarray, np.ndarray, int, float], Probe]] = {
    "centroid": fit_centroid,
    "ridge": fit_ridge,
    "logistic": fit_logistic,
}


def check_method(name: str) -> None:
    """See that a method is a key of `HEADS`, or `auto`.

    Raises:
      UserError: it is neither.
    """
    if name != AUTO and name not in HEADS:
        raise UserError(f"unknown method '{name}': choose one of {AUTO}, {', '.join(HEADS)}")


def chosen_head(name: str, counts: np.ndarray) -> tuple[str, str]:
    """The head to fit, and why it was chosen.

    Args:
      name: key of `HEADS`, or `auto`.
      counts: [C], photographs of each class.
    """
    if name in HEADS:
        return name, "as asked for"
    mean = counts.mean()
    if mean < ENOUGH:
        return "centroid", f"{mean:.1f} photos a class; ridge regression is better from {ENOUGH}"
    return "ridge", f"{mean:.1f} photos a class; centroids are for fewer than {ENOUGH}"
