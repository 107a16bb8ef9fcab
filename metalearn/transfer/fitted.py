"""What a fitted classifier of features is, and the labelled features that it is fitted to."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

ROWS = 4096  # worked on at a time in float64
UNSEEN = -1e4  # bias of classes without training images


class Probe(NamedTuple):
    """A classifier of features z [M,D].

    Logits are z w + b (`linear`), or scale * cos(z - centre, w) + b (`cosine`). A class without
    training images has weights of zero and a bias of -10,000, and never wins: the largest of the
    other logits is at least 0 (the outputs of a linear probe add up to a constant that is not
    negative), or at least -scale.

    Attributes:
      w: [D,C] float32; columns of length one where `cosine`.
      b: [C] float32; where `cosine`, 0 for all classes with training images.
      kind: `linear` or `cosine`.
      centre: [D] float32, subtracted from features where `cosine`; zeros where `linear`.
      strength: of the regularisation. ridge: the penalty in units of the mean variance of a
        feature times the number of images; logistic: scikit-learn's C, which is the less
        regularisation the larger it is; centroid: 0.
      scale: of cosines; where `linear`, what w and b were multiplied by already.
      note: how the strength and the scale were chosen, in one line.
    """

    w: np.ndarray
    b: np.ndarray
    kind: str
    centre: np.ndarray
    strength: float
    scale: float
    note: str


class Sample(NamedTuple):
    """Labelled features.

    Attributes:
      z: [M,D] float32.
      y: [M] int in [0, C).
      weights: [C] float64, of the classes; ones where they are not weighted.
      images: [M] float64, above 0, of each image beside its class; None where all have 1.
    """

    z: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    images: np.ndarray | None = None

    @property
    def counted(self) -> np.ndarray:
        """Weight [M] of each image without its class's: how many it counts as."""
        return np.ones(len(self.y)) if self.images is None else self.images

    @property
    def of_rows(self) -> np.ndarray:
        """Weight [M] of each image, its class's times its own."""
        of_class = self.weights[self.y]
        return of_class if self.images is None else of_class * self.images

    def at(self, rows: np.ndarray) -> "Sample":
        """Some of the images."""
        images = None if self.images is None else self.images[rows]
        return Sample(self.z[rows], self.y[rows], self.weights, images)


def blocks(number: int) -> Iterator[slice]:
    """Slices of so many rows, `ROWS` at a time."""
    for first in range(0, number, ROWS):
        yield slice(first, min(first + ROWS, number))


def linear_outputs(z: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """z w + b, float64 [M,C], of features float32 [M,D]; no copy of all features in float64."""
    outputs = np.empty((len(z), w.shape[1]))
    for rows in blocks(len(z)):
        outputs[rows] = z[rows].astype(np.float64) @ w + b
    return outputs


def linear_probe(
    w: np.ndarray, b: np.ndarray, strength: float, note: str, scale: float = 1.0
) -> Probe:
    """The probe with logits z w + b.

    Args:
      w: [D,C].
      b: [C].
      strength: of its regularisation.
      note: how that was chosen.
      scale: what w and b were multiplied by to make them logits.
    """
    centre = np.zeros(len(w), np.float32)
    narrow = (w.astype(np.float32), b.astype(np.float32))
    return Probe(*narrow, "linear", centre, float(strength), scale, note)
