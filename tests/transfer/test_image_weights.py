"""Probes of images that count differently: weight 2 is the image twice, weight 0 is none."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from metalearn.errors import UserError
from metalearn.transfer import centroid, ridge
from metalearn.transfer.fitted import Sample, linear_outputs
from metalearn.transfer.probes import KINDS, apply_probe, fit_probe

CLASSES = 3


def made(number: int = 45, size: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels, and weights that differ much."""
    random = np.random.default_rng(0)
    y = np.arange(number) % CLASSES
    z = 1.2 * np.eye(CLASSES, size)[y] + random.normal(size=(number, size)) + 2
    return z.astype(np.float32), y, random.exponential(size=number) + 0.05


def test_weighted_ridge_is_that_of_sklearn() -> None:
    (z, y, images) = made()
    of_class = np.array([1.0, 0.5, 3.0])
    sample = Sample(z, y, of_class, images)
    (w, b) = ridge.solution(ridge.spectrum(sample), 2.0)
    model = Ridge(alpha=2.0, solver="cholesky")
    wide = z.astype(np.float64)
    expected = model.fit(wide, np.eye(CLASSES)[y], sample_weight=of_class[y] * images)
    np.testing.assert_allclose(w, expected.coef_.T, atol=1e-8)
    np.testing.assert_allclose(b, expected.intercept_, atol=1e-7)


def test_weighted_ridge_without_each_image_is_a_fit_without_it() -> None:
    (z, y, images) = made()
    sample = Sample(z, y, np.ones(CLASSES), images)
    parts = ridge.spectrum(sample)
    leverage = ridge.leverages(parts, sample, np.array([2.0]))[0]
    outputs = linear_outputs(z, *ridge.solution(parts, 2.0))
    found = ridge.left_out(outputs, y, leverage)
    for i in range(0, len(y), 7):
        rest = sample.at(np.delete(np.arange(len(y)), i))
        alone = ridge.solution(ridge.spectrum(rest), 2.0)
        np.testing.assert_allclose(found[i], linear_outputs(z[i : i + 1], *alone)[0], atol=1e-9)


def test_weighted_logistic_is_that_of_sklearn() -> None:
    (z, y, images) = made()
    probe = fit_probe("logistic", z, y, CLASSES, images=images)
    standard = (z.astype(np.float64) - z.mean(0, dtype=np.float64)) / z.std(0, dtype=np.float64)
    model = LogisticRegression(C=probe.strength, tol=1e-9, max_iter=3000)
    model.fit(standard, y, sample_weight=images / images.mean())
    logits = apply_probe(probe, z).astype(np.float64)
    found = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(found, model.predict_log_proba(standard), atol=5e-3)


@pytest.mark.parametrize("prior", [0.0, 4.0])
def test_weighted_centroids_without_each_image_are_those_of_the_others(prior: float) -> None:
    (z, y, images) = made(20)
    y[-1] = 3  # alone in its class
    sample = Sample(z, y, np.ones(4), images)
    centre = images @ z.astype(np.float64) / (images.sum() + prior)
    found = centroid.left_out(sample, centre, centroid.class_means(sample, centre), prior)
    for i in range(len(y) - 1):
        rest = sample.at(np.delete(np.arange(len(y)), i))
        middle = rest.images @ rest.z.astype(np.float64) / (rest.images.sum() + prior)
        means = centroid.class_means(rest, middle)
        expected = centroid.cosines(z[i : i + 1], middle, centroid.unit(means).T)
        np.testing.assert_allclose(found[i], expected[0], atol=1e-9)
    assert found[-1, 3] == 0


@pytest.mark.parametrize("kind", ["centroid", "ridge"])
def test_weight_of_two_is_the_image_twice(kind: str) -> None:
    (z, y, _) = made()
    twice = np.arange(0, len(y), 4)
    images = np.ones(len(y))
    images[twice] = 2
    (both, labels) = (np.concatenate([z, z[twice]]), np.concatenate([y, y[twice]]))
    valid = (z, y)  # the same choice of the regularisation
    weighted = fit_probe(kind, z, y, CLASSES, valid, images=images)
    repeated = fit_probe(kind, both, labels, CLASSES, valid)
    assert weighted.strength == repeated.strength
    found = (apply_probe(each, z) for each in (weighted, repeated))
    np.testing.assert_allclose(*found, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_weights_change_nothing_and_images_of_weight_0_are_left_out(kind: str) -> None:
    (z, y, _) = made()
    plain = fit_probe(kind, z, y, CLASSES)
    equal = fit_probe(kind, z, y, CLASSES, images=np.full(len(y), 0.5))
    np.testing.assert_allclose(apply_probe(plain, z), apply_probe(equal, z), rtol=1e-4, atol=1e-4)
    images = (y > 0).astype(np.float64)
    without = fit_probe(kind, z, y, CLASSES, images=images)
    assert (apply_probe(without, z).argmax(1) > 0).all()


@pytest.mark.parametrize("images", [np.ones(44), -np.ones(45), np.full(45, np.nan), np.zeros(45)])
def test_weights_that_do_not_fit_are_refused(images: np.ndarray) -> None:
    (z, y, _) = made()
    with pytest.raises(UserError, match="image weights"):
        fit_probe("ridge", z, y, CLASSES, images=images)
