"""What regularisation is chosen by: held-out images, their accuracy and their likelihood."""

import numpy as np

from metalearn.ops.softmax import log_softmax, softmax
from metalearn.transfer.fitted import Sample

SCALES = (
    0.1,
    100.0,
)  # between which a scale is sought; of separable images the likeliest is endless
HALVINGS = 20  # of the logarithms' range
ENOUGH = 10_000  # images for one scale


def scored_rows(y: np.ndarray) -> np.ndarray:
    """The images that may be left out: those whose class has another image.

    None of them where fewer than half of the classes have two images: what is best for these would
    be chosen for all.
    """
    counts = np.bincount(y)
    several = counts >= 2
    if 2 * several.sum() < (counts > 0).sum():
        return np.zeros(0, np.int64)
    return np.flatnonzero(several[y])


def stratified_folds(y: np.ndarray, number: int, seed: int = 0) -> np.ndarray:
    """int [M], the fold of each image; the images of each class are spread over all folds evenly.

    -1 for an image that is alone in its class, and never held out.
    """
    random = np.random.default_rng(seed)
    folds = np.full(len(y), -1)
    begin = 0
    for label in np.unique(y):
        rows = random.permutation(np.flatnonzero(y == label))
        if len(rows) > 1:
            folds[rows] = (begin + np.arange(len(rows))) % number
            # Small classes do not all begin at the first fold
            begin += len(rows)
    return folds


def stratified_subset(y: np.ndarray, limit: int, seed: int = 0) -> np.ndarray:
    """Rows of about `limit` images, sorted: the same share of each class, and two at least."""
    random = np.random.default_rng(seed)
    share = min(1.0, limit / len(y))
    kept = []
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        wanted = min(len(rows), max(2, round(share * len(rows))))
        kept.append(random.permutation(rows)[:wanted])
    return np.sort(np.concatenate(kept))


def accuracy(outputs: np.ndarray, sample: Sample) -> float:
    """Fraction of right answers among outputs [M,C], images weighted by class."""
    right = outputs.argmax(1) == sample.y
    return float(np.average(right, weights=sample.of_rows))


def squared_error(outputs: np.ndarray, sample: Sample) -> float:
    """Mean squared distance of outputs [M,C] from one-hot labels, images weighted by class."""
    of_label = outputs[np.arange(len(outputs)), sample.y]
    errors = np.einsum("mc,mc->m", outputs, outputs) - 2 * of_label + 1
    return float(np.average(errors, weights=sample.of_rows))


def log_likelihood(logits: np.ndarray, sample: Sample) -> float:
    """Mean log-likelihood in nats of the labels, images weighted by class."""
    of_label = log_softmax(logits)[np.arange(len(logits)), sample.y]
    return float(np.average(of_label, weights=sample.of_rows))


def likeliest_scale(outputs: np.ndarray, sample: Sample, smoothed: bool = False) -> float:
    """What outputs [M,C] are to be multiplied by to be the likeliest logits; 0.1 to 100.

    Args:
      outputs: [M,C].
      sample: the M images, C classes, two at least where `smoothed`.
      smoothed: whether an image is taken for its class by (M + 1) / (M + 2), and for the others by
        the rest, as if one right and one wrong image had been seen before: of few images that are
        all right, the likeliest scale is endless (Platt 1999, Probabilistic outputs for support
        vector machines, section 2.2).
    """
    step = -(-len(outputs) // ENOUGH)
    some = outputs[::step]
    judged = sample.at(np.arange(0, len(outputs), step))
    wanted = some[np.arange(len(some)), judged.y]
    if smoothed:
        share = (len(some) + 1) / (len(some) + 2)
        others = (some.sum(1) - wanted) / (some.shape[1] - 1)
        wanted = share * wanted + (1 - share) * others
    # The likelihood is concave in the scale. SciPy's search takes longer to import than a few
    # photographs to fit
    (low, high) = np.log(SCALES)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        expected = (softmax(np.exp(middle) * some) * some).sum(1)
        slope = np.average(wanted - expected, weights=judged.of_rows)
        (low, high) = (middle, high) if slope > 0 else (low, middle)
    return float(np.exp((low + high) / 2))
