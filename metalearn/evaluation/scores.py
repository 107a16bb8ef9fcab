"""Scores of classifying a labelled test split, whose classes are those of training.

scikit-learn is imported only when scoring.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from metalearn.errors import UserError
from metalearn.evaluation.calibration import calibration_counts, calibration_error
from metalearn.ops.softmax import log_softmax

RESAMPLES = 1000  # of the images, for the interval of the accuracy
SEED = 0  # of the resamples
DIGITS = 6  # that scores are rounded to


class ClassScores(NamedTuple):
    """Scores of one class; in JSON, the list of its fields.

    Attributes:
      name: of the class.
      images: of this class in the test split.
      precision: right ones among the images classified as this class; 0 where there are none.
      recall: right ones among the images of this class; 0 where there are none.
      f1: harmonic mean of precision and recall; 0 where both are.
    """

    name: str
    images: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Scores:
    """Scores of M test images of C classes, fractions in [0, 1] rounded to 6 digits.

    `dataclasses.asdict` gives what JSON can hold. The confusion matrix is its largest part: 10,000
    small integers of 100 classes.

    Attributes:
      images: M.
      accuracy: right ones among all images.
      ci95_low: lower end of the 95 % bootstrap interval of the accuracy.
      ci95_high: upper end.
      balanced_accuracy: mean recall of the classes that occur, as scikit-learn's.
      macro_precision: mean precision of the classes that occur.
      macro_recall: mean recall of the classes that occur, the balanced accuracy by another name.
      macro_f1: mean F1 of the classes that occur.
      ece: expected calibration error (Guo et al. 2017, equation 3, 15 bins).
      loss: mean cross-entropy, nats.
      classes: scores of each of the C classes, those without a test image too.
      confusion: [C][C] images, by true class (row) and predicted class (column).
    """

    images: int
    accuracy: float
    ci95_low: float
    ci95_high: float
    balanced_accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    ece: float
    loss: float
    classes: tuple[ClassScores, ...]
    confusion: tuple[tuple[int, ...], ...]


def scores(logits: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> Scores:
    """Scores of the classes of largest logit.

    A class without a test image has no recall, so the macro averages are over the classes that
    occur. What is wrongly classified as such a class lowers the recall of the true one.

    Args:
      logits: float32 [M, C].
      labels: int [M], true classes.
      names: of the C classes.

    Raises:
      UserError: logits that are not finite, or scikit-learn is not installed.
    """
    check_installed()
    from sklearn.metrics import accuracy_score, confusion_matrix
    from sklearn.metrics import precision_recall_fscore_support as by_class

    _check_finite(logits)
    predicted = logits.argmax(1)
    every = np.arange(len(names))
    of_classes = by_class(labels, predicted, labels=every, zero_division=0)
    occurring = np.unique(labels)
    # With these labels the macro recall is the balanced accuracy, without the warning about classes
    # that are predicted and do not occur
    macro = by_class(labels, predicted, labels=occurring, average="macro", zero_division=0)
    precision, recall, f1 = map(_rounded, macro[:3])
    low, high = bootstrap_interval(predicted == labels)
    log_probability = log_softmax(logits.astype(np.float64))
    calibration = calibration_counts(log_probability.max(1), predicted == labels)
    confusion = confusion_matrix(labels, predicted, labels=every)
    return Scores(
        images=len(labels),
        accuracy=_rounded(accuracy_score(labels, predicted)),
        ci95_low=_rounded(low),
        ci95_high=_rounded(high),
        balanced_accuracy=recall,
        macro_precision=precision,
        macro_recall=recall,
        macro_f1=f1,
        ece=_rounded(calibration_error(calibration)),
        loss=_rounded(-log_probability[np.arange(len(labels)), labels].mean()),
        classes=_class_scores(names, *of_classes),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def check_installed() -> None:
    """See that what scores are computed by is here, before a training that ends with them.

    Raises:
      UserError: scikit-learn is not installed, or cannot be imported.
    """
    try:
        import sklearn.metrics  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"a classifier is scored by scikit-learn, which cannot be imported ({error}): run "
            "`pip install -r requirements.txt`"
        ) from error


def bootstrap_interval(right: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of the accuracy, by 1,000 resamples of the images.

    Efron & Tibshirani (1993), An introduction to the bootstrap, section 13.3. The resamples are the
    same at every call. Where all images are right, or all wrong, the interval is a point.

    Args:
      right: bool [M], whether each image is classified correctly.
    """
    rng = np.random.default_rng(SEED)
    number = len(right)
    accuracies = [right[rng.integers(number, size=number)].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(accuracies, [2.5, 97.5])
    return float(low), float(high)


def _check_finite(logits: np.ndarray) -> None:
    bad = int((~np.isfinite(logits)).any(1).sum())
    if bad:
        raise UserError(
            f"the logits of {bad} of {len(logits)} test images are not finite: train with a "
            "smaller --lr in a new --workdir"
        )


def _class_scores(
    names: Sequence[str],
    precision: np.ndarray,
    recall: np.ndarray,
    f1: np.ndarray,
    images: np.ndarray,
) -> tuple[ClassScores, ...]:
    return tuple(
        ClassScores(name, int(n), _rounded(p), _rounded(r), _rounded(f))
        for name, n, p, r, f in zip(names, images, precision, recall, f1, strict=True)
    )


def _rounded(value: float) -> float:
    return round(float(value), DIGITS)
