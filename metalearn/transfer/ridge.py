"""Ridge regression of one-hot labels, with an exact leave-one-out choice of its penalty.

Minimises sum_i s_i |t_i - z_i w - b|^2 + penalty |w|^2 over w and b, t_i the one-hot label and s_i
the weight of its class times the image's. One eigendecomposition gives the solutions for all
penalties, and how much each image decides of its own output (the diagonal of the hat matrix), from
which follow the outputs for images left out one at a time (Rifkin & Lippert. Notes on Regularized
Least Squares. 2007).
"""

from typing import NamedTuple

import numpy as np

from metalearn.transfer.fitted import Probe, Sample, blocks, linear_outputs, linear_probe
from metalearn.transfer.scores import accuracy, likeliest_scale, scored_rows, squared_error

GRID = tuple(10.0**power for power in range(4, -5, -1))  # on a tie the stronger one stays
ONE_IMAGE_SCALE = 20.0
SMALLEST = 1e-13  # eigenvalues beside the largest; smaller ones are rounding


class Spectrum(NamedTuple):
    """The regression in the features' principal axes.

    Attributes:
      centre: [D], weighted mean of the features.
      middle: [C], weighted mean of the one-hot labels.
      values: [R], sums of weighted squares along the axes.
      axes: [D,R].
      aims: [R,C], weighted products of features along the axes and labels.
    """

    centre: np.ndarray
    middle: np.ndarray
    values: np.ndarray
    axes: np.ndarray
    aims: np.ndarray


def spectrum(sample: Sample) -> Spectrum:
    """The decomposition, of whichever is smaller: products of images or of features."""
    s = sample.of_rows
    (number, size) = sample.z.shape
    classes = len(sample.weights)
    middle = np.bincount(sample.y, s, classes) / s.sum()
    centre = s @ sample.z / s.sum()
    products = np.zeros((size, classes))
    scatter = np.zeros((size, size)) if number > size else None
    for rows in blocks(number):
        x = sample.z[rows] - centre
        products += (s[rows, None] * x).T @ np.eye(classes)[sample.y[rows]]
        if scatter is not None:
            scatter += (s[rows, None] * x).T @ x
    if scatter is None:
        x = np.sqrt(s)[:, None] * (sample.z - centre)
        (values, vectors) = _kept(*np.linalg.eigh(x @ x.T))
        axes = x.T @ vectors / np.sqrt(values)
    else:
        (values, axes) = _kept(*np.linalg.eigh(scatter))
    return Spectrum(centre, middle, values, axes, axes.T @ products)


def _kept(values: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues that are more than rounding, and their vectors."""
    keep = values > max(SMALLEST * values[-1], np.finfo(np.float64).tiny)
    return values[keep], vectors[:, keep]


def solution(parts: Spectrum, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """w [D,C] and b [C] for a penalty."""
    w = parts.axes @ (parts.aims / (parts.values + penalty)[:, None])
    return w, parts.middle - parts.centre @ w


def leverages(parts: Spectrum, sample: Sample, penalties: np.ndarray) -> np.ndarray:
    """[P,M]: how much of each image's own output its label decides, for penalties [P]."""
    s = sample.of_rows
    inverse = 1 / (parts.values + penalties[:, None])
    found = np.empty((len(penalties), len(s)))
    for rows in blocks(len(s)):
        squares = np.square((sample.z[rows] - parts.centre) @ parts.axes)
        # Before the sum: the share of the bias, which is not penalised
        found[:, rows] = s[rows] / s.sum() + s[rows] * (inverse @ squares.T)
    return found


def left_out(outputs: np.ndarray, y: np.ndarray, leverage: np.ndarray) -> np.ndarray:
    """Outputs [M,C] of each image for the regression without it.

    Without an image its error is 1 / (1 - leverage) times as large. Class weights and penalty stay.

    Args:
      outputs: [M,C], with all images.
      y: [M], their labels.
      leverage: [M].
    """
    kept = 1 / np.maximum(1 - leverage, 1e-10)
    without = outputs * kept[:, None]
    without[np.arange(len(y)), y] -= leverage * kept
    return without


def fit(train: Sample, valid: Sample | None, smoothed: bool = False) -> Probe:
    """The probe, its outputs multiplied by a scale to be calibrated logits.

    The penalty is one of 10^-4 to 10^4 times the mean variance of a feature times the number of
    images. It has the highest accuracy, and on a tie the smallest squared error, of the validation
    images, or without these of the training images left out one at a time; the scale is the
    likeliest for the same images, at most 100. Images alone in their class are not left out. Near
    copies of an image in its class speak for weak penalties and large scales, as they stay where it
    is left out.

    Where fewer than half of the classes have two images, the penalty is the mean variance along an
    axis that varies, which halves outputs, and the scale 20: about cosines times 10.

    Args:
      train: images.
      valid: images to choose the penalty and the scale by, or None.
      smoothed: as of `likeliest_scale`.
    """
    parts = spectrum(train)
    unit = parts.values.sum() / train.z.shape[1]
    if valid is not None:
        return _chosen(parts, unit, valid, None, smoothed)
    rows = scored_rows(train.y)
    if len(rows):
        leverage = leverages(parts, train, unit * np.array(GRID))[:, rows]
        return _chosen(parts, unit, train.at(rows), leverage, smoothed)
    penalty = parts.values.mean()
    note = f"few images: fixed penalty of {penalty / unit:.3g}, scale {ONE_IMAGE_SCALE:g}"
    (w, b) = solution(parts, penalty)
    scale = ONE_IMAGE_SCALE
    return linear_probe(scale * w, scale * b, penalty / unit, note, scale)


def _chosen(
    parts: Spectrum, unit: float, judged: Sample, leverage: np.ndarray | None, smoothed: bool
) -> Probe:
    """The probe that judges these images best; with leverages [P,M] they are left out of it."""

    def outputs(i: int) -> np.ndarray:
        found = linear_outputs(judged.z, *solution(parts, unit * GRID[i]))
        return found if leverage is None else left_out(found, judged.y, leverage[i])

    def quality(i: int) -> tuple[float, float]:
        found = outputs(i)
        return accuracy(found, judged), -squared_error(found, judged)

    qualities = [quality(i) for i in range(len(GRID))]
    best = max(range(len(GRID)), key=qualities.__getitem__)
    scale = likeliest_scale(outputs(best), judged, smoothed)
    (w, b) = solution(parts, unit * GRID[best])
    how = "validation accuracy" if leverage is None else "leave-one-out accuracy"
    note = f"penalty {GRID[best]:g} by {how} ({qualities[best][0]:.1%}), scale {scale:.3g}"
    return linear_probe(scale * w, scale * b, GRID[best], note, scale)
