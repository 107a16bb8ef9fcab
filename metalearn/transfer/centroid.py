"""Cosines to class means of features centred by the mean of all training images.

With a prior the features are less the mean of many other images, which counts as so many images
more: the centre of M images is M / (M + prior) times their mean.
"""

import numpy as np

from metalearn.transfer.fitted import Probe, Sample, blocks
from metalearn.transfer.scores import accuracy, likeliest_scale, scored_rows

SCALE = 10.0  # of cosines, where no images tell a better one
TINY = 1e-12  # squared length of a vector that is left as it is


def unit(x: np.ndarray) -> np.ndarray:
    """Rows of length one; rows of zeros stay."""
    squares = np.einsum("md,md->m", x, x)
    return x / np.sqrt(np.maximum(squares, TINY))[:, None]


def cosines(z: np.ndarray, centre: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Cosines, float64 [M,C], of features z [M,D] less their centre [D], and unit columns of w."""
    found = np.empty((len(z), w.shape[1]))
    for rows in blocks(len(z)):
        found[rows] = unit(z[rows] - centre.astype(np.float64)) @ w
    return found


def class_means(sample: Sample, centre: np.ndarray) -> np.ndarray:
    """Mean [C,D], float64, of each class's features less their centre."""
    classes = len(sample.weights)
    s = sample.counted
    sums = np.zeros((classes, sample.z.shape[1]))
    for rows in blocks(len(sample.z)):
        member = s[rows, None] * np.eye(classes)[sample.y[rows]]
        sums += member.T @ (sample.z[rows] - centre)
    return sums / np.bincount(sample.y, s, classes)[:, None]


def left_out(
    sample: Sample, centre: np.ndarray, means: np.ndarray, prior: float = 0.0
) -> np.ndarray:
    """Cosines [M,C] of each image to the class means without it, all centred without it.

    Exact, of products with the means alone: without an image x of n, both less the centre, the mean
    m of its class is (n m - x) / (n - 1), and the centre moves by -x / (M + prior - 1). An image
    alone in its class has a cosine of 0 to it. Of weighted images n and M are sums of weights, and
    its own weight stands for 1.

    Args:
      sample: images.
      centre: [D].
      means: [C,D], of the classes, less the centre.
      prior: images that the mean of others counts as.
    """
    s = sample.counted
    total = s.sum() + prior
    found = np.empty((len(sample.z), len(means)))
    lengths = np.einsum("cd,cd->c", means, means)
    sums = np.bincount(sample.y, s, len(means))
    alone = np.bincount(sample.y, minlength=len(means)) == 1
    for rows in blocks(len(sample.z)):
        x = sample.z[rows] - centre
        own = (np.arange(len(x)), sample.y[rows])
        square = np.einsum("md,md->m", x, x)
        products = x @ means.T
        squares = np.broadcast_to(lengths, products.shape).copy()
        lone = alone[sample.y[rows]]
        n = sums[sample.y[rows]] / s[rows]
        others = np.where(lone, 1, np.maximum(n - 1, TINY))
        squares[own] = (n**2 * squares[own] - 2 * n * products[own] + square) / others**2
        products[own] = (n * products[own] - square) / others
        rest = (total / s[rows] - 1)[:, None]
        moved = square[:, None] / rest
        squares += 2 * products / rest + moved / rest
        products += moved
        found[rows] = products / np.sqrt(np.maximum(squares * square[:, None], TINY))
        found[rows][own] *= ~lone
    return found


def fit(
    train: Sample,
    valid: Sample | None,
    prior: float = 0.0,
    smoothed: bool = False,
    fixed: float = SCALE,
) -> Probe:
    """The probe; class weights change nothing, those of images count in every mean.

    The scale is the likeliest for the validation images, or without these for the training images
    left out one at a time, at most 100; a fixed one where fewer than half of the classes have two
    images (10 as of Chen et al. 2021, Meta-Baseline, section 3.2).

    Args:
      train: images.
      valid: images to choose the scale by, or None.
      prior: images that the mean of others, at zero, counts as.
      smoothed: as of `likeliest_scale`.
      fixed: scale where no images tell a better one.
    """
    s = train.counted
    sums = s @ train.z if train.images is not None else train.z.sum(0, dtype=np.float64)
    centre = sums / (s.sum() + prior)
    means = class_means(train, centre)
    w = unit(means).T
    rows = scored_rows(train.y)
    (scale, note) = (fixed, f"few images: fixed scale of {fixed:g}")
    if valid is not None or len(rows):
        if valid is not None:
            (judged, how) = (valid, "validation images")
            found = cosines(valid.z, centre, w)
        else:
            (judged, how) = (train.at(rows), "images left out one by one")
            found = left_out(train, centre, means, prior)[rows]
        scale = likeliest_scale(found, judged, smoothed)
        note = f"scale {scale:.3g} by likelihood of {how} ({accuracy(found, judged):.1%} right)"
    b = np.zeros(len(means), np.float32)
    return Probe(w.astype(np.float32), b, "cosine", centre.astype(np.float32), 0.0, scale, note)
