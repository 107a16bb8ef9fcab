"""Rankings of bodies: the evidence against an optimiser, and what is said of made-up features."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from metalearn.errors import UserError
from metalearn.transfer.probes import KINDS, apply_probe, fit_probe
from metalearn.transfer.ranking import Ranked, cross_validated, logme, rank, said


def made(
    number: int, size: int, noise: float, classes: int = 3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Features about a mean per class, for the same labels whatever the size, noise and seed."""
    rng = np.random.default_rng(seed)
    y = np.random.default_rng(50).permutation(np.arange(number) % classes)
    z = rng.normal(size=(classes, size))[y] + noise * rng.normal(size=(number, size))
    return (z + 0.5).astype(np.float32), y


def log_marginal(logarithms: np.ndarray, z: np.ndarray, target: np.ndarray) -> float:
    """Of targets that are normal of covariance z z^T / alpha + 1 / beta."""
    (alpha, beta) = np.exp(logarithms)
    covariance = z @ z.T / alpha + np.eye(len(z)) / beta
    return float(multivariate_normal.logpdf(target, cov=covariance))


@pytest.mark.parametrize(("number", "size", "noise"), [(60, 5, 1.0), (60, 20, 4.0), (24, 40, 3.0)])
def test_logme_is_the_highest_log_marginal_likelihood(number: int, size: int, noise: float) -> None:
    (z, y) = made(number, size, noise)
    wide = z.astype(np.float64)
    expected = []
    for label in range(3):
        target = (y == label).astype(np.float64)
        found = [
            minimize(
                lambda theta, target=target: -log_marginal(theta, wide, target),
                start,
                method="Nelder-Mead",
                options={"xatol": 1e-6, "fatol": 1e-9, "maxiter": 4000},
            ).fun
            for start in ([0.0, 0.0], [4.0, 2.0])
        ]
        expected.append(-min(found) / number)
    assert logme(z, y, 3) == pytest.approx(np.mean(expected), abs=1e-6)


def test_logme_of_more_images_than_features_and_of_padded_ones_agree() -> None:
    (z, y) = made(60, 10, 1.0)
    assert logme(np.pad(z, ((0, 0), (0, 90))), y, 3) == pytest.approx(logme(z, y, 3), rel=1e-9)


def test_logme_of_features_that_tell_all_is_finite_and_high() -> None:
    """Its maximum would be infinite: no noise is left."""
    (z, y) = made(12, 40, 0.01)
    perfect = np.eye(3, dtype=np.float32)[y]
    assert np.isfinite(logme(perfect, y, 3))
    assert logme(perfect, y, 3) > logme(z, y, 3) > 1


@pytest.mark.parametrize("size", [8, 300])
def test_informative_features_score_higher_than_noise(size: int) -> None:
    (good, y) = made(120, size, 1.0)
    (fair, _) = made(120, size, 4.0)
    noise = np.random.default_rng(3).normal(size=good.shape)
    assert logme(good, y, 3) > logme(fair, y, 3) > logme(noise, y, 3)


def test_classes_without_images_change_nothing() -> None:
    (z, y) = made(60, 10, 1.0)
    assert logme(z, np.where(y == 2, 4, y), 6) == logme(z, y, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_cross_validated_accuracy_is_that_of_new_images(kind: str) -> None:
    (z, y) = made(300, 6, 1.5)
    (accuracy, error) = cross_validated(kind, z[:120], y[:120], 3)
    probe = fit_probe(kind, z[:120], y[:120], 3)
    later = (apply_probe(probe, z[120:]).argmax(1) == y[120:]).mean()
    assert abs(accuracy - later) < 3 * error and 0.6 < accuracy < 0.98
    assert error == pytest.approx((accuracy * (1 - accuracy) / 120) ** 0.5)


def test_cross_validated_accuracy_of_noise_is_chance() -> None:
    """Images that were fitted, if they were judged too, would make it look better."""
    z = np.random.default_rng(3).normal(size=(300, 100)).astype(np.float32)
    (accuracy, error) = cross_validated("ridge", z, np.arange(300) % 3, 3)
    assert abs(accuracy - 1 / 3) < 3 * error


def test_cross_validation_needs_two_images_of_a_class() -> None:
    (z, _) = made(4, 3, 1.0)
    with pytest.raises(UserError, match="needs two of both"):
        cross_validated("ridge", z, np.arange(4), 4)
    with pytest.raises(UserError, match="1 folds"):
        cross_validated("ridge", z, np.array([0, 0, 1, 1]), 2, folds=1)
    apart = np.array([[0.0], [0.1], [5.0], [5.1]], np.float32)
    assert cross_validated("ridge", apart, np.array([0, 0, 1, 1]), 2)[0] == 1


def test_bodies_are_ranked_by_accuracy() -> None:
    (good, y) = made(150, 8, 0.8)
    (fair, _) = made(150, 8, 3.0)
    noise = np.random.default_rng(3).normal(size=(150, 30)).astype(np.float32)
    ranked = rank({"noise": noise, "good": good, "fair": fair}, y, 3)
    assert [each.name for each in ranked] == ["good", "fair", "noise"]
    assert all(each.seconds > 0 for each in ranked)
    assert ranked[0].accuracy == cross_validated("ridge", good, y, 3)[0]
    assert ranked[0].logme == logme(good, y, 3)
    text = said(ranked)
    assert text.splitlines()[-1] == (
        "best: good, its ridge probe has the highest accuracy, by more than one standard error"
    )
    assert len(text.splitlines()) == 4


def test_bodies_within_one_standard_error_are_ranked_by_logme(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured = {"a": (0.90, 0.02), "b": (0.89, 0.02), "c": (0.87, 0.02), "d": (0.8, 0.02)}
    scores = {"a": -1.0, "b": -0.5, "c": -0.1, "d": 0.0}
    module = "metalearn.transfer.ranking"
    monkeypatch.setattr(f"{module}.logme", lambda z, y, classes: scores[z])
    monkeypatch.setattr(f"{module}.cross_validated", lambda kind, z, y, classes: measured[z])
    ranked = rank({name: name for name in "dcba"}, np.zeros(1, int), 2)
    assert [each.name for each in ranked] == ["b", "a", "c", "d"]
    assert said(ranked).endswith(
        "best: b, the highest LogME within one standard error of the best (a)"
    )
    assert "  89.0% +- 2.0%  LogME  -0.500" in said(ranked)


def test_rankings_of_none_and_of_one() -> None:
    with pytest.raises(UserError, match="no features to rank"):
        rank({}, np.zeros(1, int), 2)
    assert said([Ranked("a", 0.1, 1.0, 0.0, 0.2)]).endswith("best: a, the only one")
