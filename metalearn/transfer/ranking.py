"""Which pre-trained body suits a training set, told from features alone.

You, Liu, Wang, Long. LogME: Practical Assessment of Pre-trained Models for Transfer Learning. ICML
2021; their fixed point is examined in You et al. Ranking and Tuning Pre-trained Models. JMLR 2022.
"""

import time
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from metalearn.errors import UserError
from metalearn.transfer.fitted import blocks
from metalearn.transfer.probes import apply_probe, checked, fit_probe
from metalearn.transfer.scores import stratified_folds

CHANGE = 1e-6  # of alpha / beta, relative, at which the fixed point is reached
STEPS = 1000
SMALLEST = 1e-12  # eigenvalues beside the largest; smaller ones are rounding
RATIOS = (1e-9, 1e9)  # of alpha / beta to the mean eigenvalue, where the evidence has no maximum


def logme(z: np.ndarray, y: np.ndarray, classes: int) -> float:
    """Log evidence a sample of features z [M,D] for labels y [M], mean over classes; nats.

    Each class's one-hot labels are a linear function of the features, without bias, whose weights
    have a normal prior of precision alpha, plus normal noise of precision beta; alpha and beta are
    those of the highest evidence (section 4.2), by the paper's fixed point (section 4.3) in the
    features' principal axes.

    Deviations: iterated until alpha / beta changes by less than a millionth, within 10^-9 to 10^9
    times the mean eigenvalue; classes without images, whose evidence has no bound, are left out.

    Raises:
      UserError: features and labels that do not fit each other, or features that are all zero.
    """
    (z, y) = checked(z, y, classes, "training")
    (values, aims) = _axes(z, y, np.unique(y))
    if not len(values):
        raise UserError("the features of all images are zero: check the images and the body")
    counts = np.bincount(y)[np.unique(y)].astype(np.float64)
    found = [_evidence(values, aims[:, k], counts[k], len(z)) for k in range(len(counts))]
    return float(np.mean(found) / len(z))


def _axes(z: np.ndarray, y: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues [R] of z z^T that are not zero, and squares [R,C] of labels along its vectors."""
    (number, size) = z.shape
    targets = (y[:, None] == present).astype(np.float64)
    if number <= size:
        wide = z.astype(np.float64)
        (values, vectors) = np.linalg.eigh(wide @ wide.T)
        along = vectors.T @ targets
    else:
        products = np.zeros((size, size + len(present)))
        for rows in blocks(number):
            part = z[rows].astype(np.float64)
            products += part.T @ np.concatenate([part, targets[rows]], 1)
        (values, vectors) = np.linalg.eigh(products[:, :size])
        along = vectors.T @ products[:, size:]
    keep = values > max(SMALLEST * values[-1], np.finfo(np.float64).tiny)
    lengths = 1.0 if number <= size else np.sqrt(values[keep])[:, None]
    return values[keep], np.square(along[keep] / lengths)


def _evidence(values: np.ndarray, aims: np.ndarray, square: float, number: int) -> float:
    """The highest log evidence of one class.

    Args:
      values: [R], eigenvalues sigma.
      aims: [R], squares of the labels along their vectors.
      square: of all labels.
      number: of images, N.
    """
    outside = max(square - float(aims.sum()), 0.0) if len(values) < number else 0.0
    (low, high) = np.array(RATIOS) * values.mean()
    ratio = values.mean()  # alpha / beta
    for _ in range(STEPS):
        before = ratio
        gamma = float((values / (ratio + values)).sum())
        weights = float((aims * values / np.square(ratio + values)).sum())  # |m|^2
        error = outside + float((aims * np.square(ratio / (ratio + values))).sum())  # |F m - y|^2
        alpha = gamma / max(weights, np.finfo(np.float64).tiny)
        beta = (number - gamma) / max(error, np.finfo(np.float64).tiny)
        ratio = float(np.clip(alpha / beta, low, high))
        if abs(ratio - before) <= CHANGE * before:
            break
    return _at_ratio(values, aims, outside, number, ratio)


def _at_ratio(
    values: np.ndarray, aims: np.ndarray, outside: float, number: int, ratio: float
) -> float:
    """The log evidence for alpha = ratio * beta and the beta that is best for it."""
    misfit = outside + float((aims * ratio / (ratio + values)).sum())
    beta = number / max(misfit, np.finfo(np.float64).tiny)
    determinant = float(np.log1p(values / ratio).sum())
    return 0.5 * (number * np.log(beta / (2 * np.pi)) - determinant - number)


def cross_validated(
    kind: str, z: np.ndarray, y: np.ndarray, classes: int, folds: int = 5
) -> tuple[float, float]:
    """Accuracy of a probe of images held out in turn, and its standard error over images.

    Each class is spread over the folds evenly; every fold's probe chooses its own regularisation,
    by its own training images. An image alone in its class is never held out.

    Args:
      kind: key of `metalearn.transfer.probes.KINDS`.
      z: features [M,D].
      y: labels, int [M] in [0, C).
      classes: C.
      folds: 2 at least; not more are used than the largest class has images.

    Raises:
      UserError: fewer than two folds; no class has two images; what `fit_probe` refuses.
    """
    (z, y) = checked(z, y, classes, "training")
    largest = int(np.bincount(y).max())
    if folds < 2 or largest < 2:
        raise UserError(
            f"{folds} folds of at most {largest} images a class: cross-validation needs two of both"
        )
    fold = stratified_folds(y, min(folds, largest))
    right = 0
    for number in range(fold.max() + 1):
        probe = fit_probe(kind, z[fold != number], y[fold != number], classes)
        logits = apply_probe(probe, z[fold == number])
        right += int((logits.argmax(1) == y[fold == number]).sum())
    judged = int((fold >= 0).sum())
    accuracy = right / judged
    return accuracy, (accuracy * (1 - accuracy) / judged) ** 0.5


class Ranked(NamedTuple):
    """A body and how well its features suit a training set.

    Attributes:
      name: of the body.
      logme: see `logme`.
      accuracy: of a ridge probe, cross-validated.
      error: its standard error.
      seconds: taken for both.
    """

    name: str
    logme: float
    accuracy: float
    error: float
    seconds: float


def rank(features: Mapping[str, np.ndarray], y: np.ndarray, classes: int) -> list[Ranked]:
    """Bodies, the best first, by the features [M,D] of each for the same images with labels y [M].

    In the order of the cross-validated accuracy of a ridge probe. Those within one standard error
    of the highest are not told apart by it: they come first, in the order of LogME.

    Raises:
      UserError: no body; what `logme` and `cross_validated` refuse.
    """
    if not features:
        raise UserError("no features to rank: give those of one body or more")
    found = []
    for name, z in features.items():
        start = time.perf_counter()
        score = logme(z, y, classes)
        (accuracy, error) = cross_validated("ridge", z, y, classes)
        found.append(Ranked(name, score, accuracy, error, time.perf_counter() - start))
    found.sort(key=_accuracy, reverse=True)
    close = contenders(found)
    rest = [each for each in found if each not in close]
    return sorted(close, key=_logme, reverse=True) + rest


def contenders(ranked: list[Ranked]) -> list[Ranked]:
    """Those within one standard error of the highest accuracy, in the same order."""
    highest = max(ranked, key=_accuracy)
    return [each for each in ranked if each.accuracy >= highest.accuracy - highest.error]


def _accuracy(each: Ranked) -> float:
    return each.accuracy


def _logme(each: Ranked) -> float:
    return each.logme


def said(ranked: list[Ranked]) -> str:
    """Some lines that say which body is best and why; the bodies are in the order of `rank`."""
    best = ranked[0]
    width = max(len(each.name) for each in ranked)
    lines = [
        f"{each.name:<{width}}  {each.accuracy:6.1%} +- {each.error:.1%}  LogME {each.logme:7.3f}"
        f"  {each.seconds:.1f} s"
        for each in ranked
    ]
    close = [each.name for each in contenders(ranked) if each is not best]
    if len(ranked) == 1:
        why = "the only one"
    elif close:
        why = f"the highest LogME within one standard error of the best ({', '.join(close)})"
    else:
        why = "its ridge probe has the highest accuracy, by more than one standard error"
    return "\n".join([*lines, f"best: {best.name}, {why}"])
