"""Scores of a labelled test split, by hand and against scikit-learn and the episodes' metrics."""

import dataclasses
import json
import warnings
from math import exp, log

import numpy as np
import pytest
from sklearn import metrics as theirs

from metalearn.errors import UserError
from metalearn.evaluation.calibration import calibration_error
from metalearn.evaluation.metrics import episode_metrics
from metalearn.evaluation.scores import ClassScores, Scores, bootstrap_interval, scores


def noisy(images: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a classifier that is right about two times of three, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=images)
    logits = rng.normal(size=(images, classes)) + 2 * np.eye(classes)[labels]
    return logits.astype(np.float32), labels


def named(classes: int) -> list[str]:
    return [f"class {i}" for i in range(classes)]


def certain(predicted: list[int], classes: int) -> np.ndarray:
    """Logits of 1 for the predicted classes, and 0 for others."""
    return np.eye(classes, dtype=np.float32)[predicted]


def test_scores_by_hand() -> None:
    """Five images: 0 0 0 1 1, classified as 0 0 1 1 0."""
    found = scores(certain([0, 0, 1, 1, 0], 2), np.array([0, 0, 0, 1, 1]), ("cat", "dog"))
    assert found.images == 5 and found.accuracy == 0.6
    assert found.confusion == ((2, 1), (1, 1))
    assert found.classes == (
        ClassScores("cat", 3, round(2 / 3, 6), round(2 / 3, 6), round(2 / 3, 6)),
        ClassScores("dog", 2, 0.5, 0.5, 0.5),
    )
    mean = round((2 / 3 + 1 / 2) / 2, 6)
    macro = (found.macro_precision, found.macro_recall, found.macro_f1)
    assert macro == (mean, mean, mean) and found.balanced_accuracy == mean
    sure = exp(1) / (exp(1) + 1)  # probability of the predicted class
    assert found.loss == round(-(3 * log(sure) + 2 * log(1 - sure)) / 5, 6)
    assert found.ece == round(sure - 0.6, 6)  # all are in one bin
    assert found.ci95_low < 0.6 < found.ci95_high


def test_scores_are_those_of_scikit_learn() -> None:
    logits, labels = noisy(500, 7)
    found, predicted = scores(logits, labels, named(7)), logits.argmax(1)
    assert 0.4 < found.accuracy < 0.9
    precision, recall, f1, _ = theirs.precision_recall_fscore_support(
        labels, predicted, average="macro"
    )
    probability = np.exp(logits.astype(float))
    probability /= probability.sum(1, keepdims=True)
    expected = {
        "accuracy": theirs.accuracy_score(labels, predicted),
        "balanced_accuracy": theirs.balanced_accuracy_score(labels, predicted),
        "macro_precision": precision,
        "macro_recall": recall,
        "macro_f1": f1,
        "loss": theirs.log_loss(labels, probability),
    }
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, abs=1e-6), name
    matrix = theirs.confusion_matrix(labels, predicted)
    np.testing.assert_array_equal(found.confusion, matrix)
    assert [one.images for one in found.classes] == matrix.sum(1).tolist()


@pytest.mark.parametrize(("images", "classes", "scale"), [(300, 5, 1), (300, 2, 0.1), (50, 40, 9)])
def test_calibration_error_is_that_of_episodes(images: int, classes: int, scale: float) -> None:
    logits, labels = noisy(images, classes)
    logits *= np.float32(scale)
    counts = np.asarray(episode_metrics(logits, labels)["calibration"])
    found = scores(logits, labels, named(classes))
    assert found.ece == pytest.approx(calibration_error(counts), abs=2e-6) and found.ece > 0


def test_classes_without_images_do_not_enter_macro_averages() -> None:
    """Class 2 has no image, and one of class 1 is taken for it; class 3 is never predicted."""
    labels = np.array([0, 0, 1, 1, 3])
    predicted = [0, 0, 1, 2, 0]
    found = scores(certain(predicted, 4), labels, named(4))
    assert found.classes[2] == ClassScores("class 2", 0, 0.0, 0.0, 0.0)
    assert found.classes[3] == ClassScores("class 3", 1, 0.0, 0.0, 0.0)
    assert found.macro_recall == found.balanced_accuracy == 0.5  # of 1, 1/2 and 0
    assert found.macro_precision == round((2 / 3 + 1 + 0) / 3, 6)
    assert found.macro_f1 == round((0.8 + 2 / 3 + 0) / 3, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the class that is predicted and does not occur
        assert found.balanced_accuracy == theirs.balanced_accuracy_score(labels, predicted)
    assert found.confusion[1] == (0, 1, 1, 0) and found.confusion[2] == (0, 0, 0, 0)


@pytest.mark.parametrize(("images", "accuracy"), [(100, 0.5), (1000, 0.9), (2485, 0.7)])
def test_bootstrap_interval_is_near_the_binomial_one(images: int, accuracy: float) -> None:
    right = np.arange(images) < round(accuracy * images)
    low, high = bootstrap_interval(right)
    half = 1.96 * (accuracy * (1 - accuracy) / images) ** 0.5
    assert low < accuracy < high
    assert (low, high) == pytest.approx((accuracy - half, accuracy + half), abs=0.15 * half)
    assert (low, high) == bootstrap_interval(right)


def test_interval_of_equal_results_is_a_point() -> None:
    assert bootstrap_interval(np.ones(9, bool)) == (1, 1)
    assert bootstrap_interval(np.zeros(9, bool)) == (0, 0)


def test_scores_are_deterministic_json() -> None:
    logits, labels = noisy(60, 100)
    found = scores(logits, labels, named(100))
    assert found == scores(logits, labels, named(100))
    read = json.loads(json.dumps(dataclasses.asdict(found)))
    read["classes"] = tuple(ClassScores(*row) for row in read["classes"])
    read["confusion"] = tuple(map(tuple, read["confusion"]))
    assert Scores(**read) == found


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_refused(wrong: float) -> None:
    logits, labels = noisy(10, 3)
    logits[4, 1] = wrong
    with pytest.raises(UserError, match="of 1 of 10 test images are not finite: .*--lr") as caught:
        scores(logits, labels, named(3))
    assert "\n" not in str(caught.value)
