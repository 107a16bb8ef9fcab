"""Probes of features against scikit-learn, brute force and the heads of few-shot methods."""

import time
import tracemalloc
import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from metalearn.errors import UserError
from metalearn.learners.heads import nearest_centroid
from metalearn.ops.classifier import classify
from metalearn.transfer import centroid, logistic, ridge
from metalearn.transfer.fitted import Sample, linear_outputs
from metalearn.transfer.probes import KINDS, apply_probe, as_classifier, fit_probe
from metalearn.transfer.scores import (
    likeliest_scale,
    scored_rows,
    stratified_folds,
    stratified_subset,
)


def made(
    number: int, size: int, classes: int, seed: int = 0, noise: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Features about a mean per class, not about zero; some vary more; every class is there."""
    means = np.random.default_rng(100).normal(size=(classes, size))
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(number) % classes)
    z = means[y] + noise * rng.normal(size=(number, size))
    return (z * np.linspace(0.5, 2, size) + 3).astype(np.float32), y


def sample(z: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> Sample:
    return Sample(z, y, np.ones(y.max() + 1) if weights is None else weights)


def right(probe, z: np.ndarray, y: np.ndarray) -> float:
    return float((apply_probe(probe, z).argmax(1) == y).mean())


def regression(part: Sample, penalty: float) -> Ridge:
    targets = np.eye(len(part.weights))[part.y]
    return Ridge(alpha=penalty, solver="cholesky").fit(
        part.z.astype(np.float64), targets, sample_weight=part.of_rows
    )


SHAPES = [(40, 7), (12, 30)]  # more images than features, and fewer


@pytest.mark.parametrize(("number", "size"), SHAPES)
@pytest.mark.parametrize("weights", [None, np.array([1.0, 0.3, 5.0])])
def test_ridge_is_that_of_sklearn(number: int, size: int, weights: np.ndarray | None) -> None:
    train = sample(*made(number, size, 3), weights)
    parts = ridge.spectrum(train)
    for penalty in (0.01, 1.0, 100.0):
        (w, b) = ridge.solution(parts, penalty)
        expected = regression(train, penalty)
        np.testing.assert_allclose(w, expected.coef_.T, atol=1e-8)
        np.testing.assert_allclose(b, expected.intercept_, atol=1e-7)


def test_products_of_images_and_of_features_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same features with as many zeros behind them as make them more than the images."""
    (z, y) = made(40, 7, 3)
    narrow = ridge.solution(ridge.spectrum(sample(z, y)), 2.0)
    padded = np.pad(z, ((0, 0), (0, 50)))
    wide = ridge.solution(ridge.spectrum(sample(padded, y)), 2.0)
    np.testing.assert_allclose(wide[0], np.pad(narrow[0], ((0, 50), (0, 0))), atol=1e-10)
    np.testing.assert_allclose(wide[1], narrow[1], atol=1e-10)
    monkeypatch.setattr("metalearn.transfer.fitted.ROWS", 11)
    in_blocks = ridge.solution(ridge.spectrum(sample(z, y)), 2.0)
    np.testing.assert_allclose(in_blocks[0], narrow[0], atol=1e-12)


@pytest.mark.parametrize(("number", "size"), SHAPES)
@pytest.mark.parametrize("weights", [None, np.array([1.0, 0.3, 5.0])])
def test_ridge_without_each_image_is_a_fit_without_it(
    number: int, size: int, weights: np.ndarray | None
) -> None:
    train = sample(*made(number, size, 3), weights)
    parts = ridge.spectrum(train)
    penalties = np.array([0.5, 20.0])
    leverages = ridge.leverages(parts, train, penalties)
    for penalty, leverage in zip(penalties, leverages, strict=True):
        outputs = linear_outputs(train.z, *ridge.solution(parts, penalty))
        found = ridge.left_out(outputs, train.y, leverage)
        for i in range(number):
            rest = train.at(np.delete(np.arange(number), i))
            expected = regression(rest, penalty).predict(train.z[i : i + 1].astype(np.float64))
            np.testing.assert_allclose(found[i], expected[0], atol=1e-7)


def test_ridge_chooses_a_penalty_that_suits_the_features() -> None:
    """Where features vary little within classes, little; where the classes are hidden, much."""
    clear = fit_probe("ridge", *made(300, 6, 3, noise=0.5), 3)
    strong = fit_probe("ridge", *made(150, 200, 3, noise=8), 3)
    assert clear.strength < strong.strength
    assert f"penalty {strong.strength:g} by leave-one-out accuracy" in strong.note


def test_ridge_with_a_chosen_penalty_is_at_least_as_good_as_others_on_the_validation_images() -> (
    None
):
    (z, y) = made(60, 100, 4, noise=4)
    valid = made(400, 100, 4, seed=1, noise=4)
    probe = fit_probe("ridge", z, y, 4, valid)
    parts = ridge.spectrum(sample(z, y))
    unit = parts.values.sum() / 100
    others = [
        (linear_outputs(valid[0], *ridge.solution(parts, unit * s)).argmax(1) == valid[1]).mean()
        for s in ridge.GRID
    ]
    assert right(probe, *valid) == max(others) > min(others)
    assert probe.strength == ridge.GRID[int(np.argmax(others))] or others.count(max(others)) > 1
    assert "validation accuracy" in probe.note


def test_ridge_logits_are_calibrated() -> None:
    """No other scale makes images that it has not seen much likelier."""
    (z, y) = made(400, 20, 4, noise=2.5)
    probe = fit_probe("ridge", z, y, 4)
    test = sample(*made(4000, 20, 4, seed=1, noise=2.5))
    assert likeliest_scale(apply_probe(probe, test.z).astype(np.float64), test) == pytest.approx(
        1, abs=0.15
    )


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_logistic_is_that_of_sklearn(classes: int, weighted: bool) -> None:
    (z, y) = made(120, 10, classes, noise=2)
    weights = np.linspace(0.5, 2, classes) if weighted else None
    probe = fit_probe("logistic", z, y, classes, weights=weights)
    standard = (z.astype(np.float64) - z.mean(0, dtype=np.float64)) / z.std(0, dtype=np.float64)
    of_class = dict(enumerate(weights)) if weighted else None
    model = LogisticRegression(C=probe.strength, class_weight=of_class, tol=1e-8, max_iter=2000)
    expected = model.fit(standard, y).predict_log_proba(standard)
    logits = apply_probe(probe, z).astype(np.float64)
    found = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_logistic_chooses_by_validation_images_or_folds() -> None:
    """Labels that are partly wrong ask for more regularisation than clear ones."""
    (z, y) = made(90, 60, 3, noise=1)
    wrong = np.where(np.random.default_rng(2).random(90) < 0.4, (y + 1) % 3, y)
    valid = made(600, 60, 3, seed=1, noise=1)
    by_valid = fit_probe("logistic", z, wrong, 3, valid)
    by_folds = fit_probe("logistic", z, wrong, 3)
    assert by_valid.strength * 60 <= 10 and by_folds.strength * 60 <= 10
    assert f"C {by_valid.strength:.3g} by validation accuracy" in by_valid.note
    assert f"C {by_folds.strength:.3g} by cross-validated accuracy" in by_folds.note
    weak = fit_probe("logistic", z, wrong, 3, (z, wrong))
    assert weak.strength * 60 >= 100
    assert right(by_valid, *valid) > 0.75


def test_logistic_of_many_images_chooses_on_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logistic, "MANY", 60)
    (z, y) = made(300, 5, 3)
    probe = fit_probe("logistic", z, y, 3)
    assert probe.note.endswith("of fits to 60 images")
    assert right(probe, z, y) > 0.8


def test_logistic_that_does_not_converge_says_so_in_its_note_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logistic, "ITERATIONS", 2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        probe = fit_probe("logistic", *made(60, 10, 3), 3)
    assert "not converged in 2 iterations" in probe.note and not caught


def test_features_that_do_not_vary_change_nothing() -> None:
    (z, y) = made(60, 8, 3)
    constant = np.concatenate([z, np.full((60, 2), 7.3, np.float32)], 1)
    for kind in ("logistic", "centroid"):
        logits = apply_probe(fit_probe(kind, z, y, 3), z)
        found = fit_probe(kind, constant, y, 3)
        np.testing.assert_allclose(apply_probe(found, constant), logits, atol=2e-2)
    (w, _) = ridge.solution(ridge.spectrum(sample(constant, y)), 2.0)
    assert np.abs(w[8:]).max() < 1e-9 < np.abs(w[:8]).min()


def test_centroid_is_the_cosine_head_on_centred_features() -> None:
    (z, y) = made(60, 8, 4)
    probe = fit_probe("centroid", z, y, 4)
    queries = made(20, 8, 4, seed=1)[0]
    centre = z.mean(0)
    head = nearest_centroid("cosine", scale=probe.scale)
    fitted = head.fit(None, jnp.asarray(z - centre), jnp.asarray(y), 4)
    expected = head.predict(fitted, jnp.asarray(queries - centre))
    np.testing.assert_allclose(apply_probe(probe, queries), expected, atol=1e-4 * probe.scale)
    assert probe.kind == "cosine" and probe.scale != centroid.SCALE


def test_cosines_without_each_image_are_those_of_means_without_it() -> None:
    (z, y) = made(23, 6, 4)
    y[:2] = 4  # two of a fifth class
    train = sample(z, y)
    centre = z.mean(0, dtype=np.float64)
    found = centroid.left_out(train, centre, centroid.class_means(train, centre))
    for i in range(23):
        rest = train.at(np.delete(np.arange(23), i))
        middle = rest.z.mean(0, dtype=np.float64)
        w = centroid.unit(centroid.class_means(rest, middle)).T
        expected = centroid.cosines(z[i : i + 1], middle, w)
        np.testing.assert_allclose(found[i], expected[0], atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_one_image_a_class(kind: str) -> None:
    (z, y) = made(5, 40, 5, noise=0.5)
    probe = fit_probe(kind, z, y, 5)
    assert probe.note.startswith("few images: fixed")
    assert right(probe, *made(200, 40, 5, seed=1, noise=0.5)) > 0.95
    assert np.abs(apply_probe(probe, z)).max() < 30


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_with_one_image_among_others_is_not_left_out(kind: str) -> None:
    (z, y) = made(40, 10, 4, noise=0.5)
    keep = np.flatnonzero((y != 3) | (np.cumsum(y == 3) == 1))
    probe = fit_probe(kind, z[keep], y[keep], 4)
    assert "fixed" not in probe.note
    (z, y) = made(200, 10, 4, seed=1, noise=0.5)
    assert right(probe, z[y != 3], y[y != 3]) > 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_two_classes(kind: str) -> None:
    (z, y) = made(60, 10, 2)
    probe = fit_probe(kind, z, y, 2)
    assert probe.w.shape == (10, 2) and probe.w.dtype == probe.b.dtype == np.float32
    assert right(probe, *made(200, 10, 2, seed=1)) > 0.95


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("validated", [False, True])
def test_a_class_without_images_never_wins(kind: str, validated: bool) -> None:
    (z, y) = made(60, 10, 4)
    valid = made(80, 10, 4, seed=1)
    keep = y != 2
    probe = fit_probe(kind, z[keep], y[keep], 4, valid if validated else None)
    far = 1e4 * np.random.default_rng(3).normal(size=(500, 10)).astype(np.float32)
    logits = apply_probe(probe, np.concatenate([z, far]))
    assert np.isfinite(logits).all() and (logits.argmax(1) != 2).all()
    assert not probe.w[:, 2].any()
    assert (logits[:60][keep].argmax(1) == y[keep]).mean() > 0.9


def test_class_weights_favour_a_rare_class() -> None:
    (z, y) = made(300, 6, 2, noise=3)
    keep = np.flatnonzero((y == 0) | (np.cumsum(y == 1) <= 10))
    (z, y) = (z[keep], y[keep])
    for kind in ("ridge", "logistic"):
        plain = apply_probe(fit_probe(kind, z, y, 2), z).argmax(1)
        weighted = fit_probe(kind, z, y, 2, weights=len(y) / (2 * np.bincount(y)))
        assert (apply_probe(weighted, z).argmax(1) == 1).sum() > plain.sum() + 10


@pytest.mark.parametrize("kind", ["ridge", "logistic"])
def test_linear_probes_are_last_layers(kind: str) -> None:
    (z, y) = made(60, 10, 3)
    probe = fit_probe(kind, z, y, 3)
    logits = classify("linear", as_classifier(probe, 10), jnp.asarray(z))
    np.testing.assert_allclose(logits, apply_probe(probe, z), rtol=1e-4, atol=1e-3)
    assert not probe.centre.any()


def test_many_features_take_little_time_and_memory() -> None:
    """5,000 images of 256 features are 5 MB; whole copies of them in float64 would be 10 each."""
    (z, y) = made(5000, 256, 10, noise=4)
    test = made(1000, 256, 10, seed=1, noise=4)
    for kind in ("ridge", "centroid"):
        start = time.perf_counter()
        tracemalloc.start()
        probe = fit_probe(kind, z, y, 10)
        (_, peak) = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 60e6
        assert time.perf_counter() - start < 20
        assert right(probe, *test) > 0.9


def test_folds_hold_every_class_and_no_image_alone_in_its_class() -> None:
    y = np.array([0] * 7 + [1] * 2 + [2] + [3] * 10)
    folds = stratified_folds(y, 5)
    assert folds[9] == -1 and sorted(set(folds)) == [-1, 0, 1, 2, 3, 4]
    for label in (0, 1, 3):
        sizes = np.bincount(folds[y == label], minlength=5)
        assert sizes.max() - sizes.min() <= 1
    assert folds.tolist() == stratified_folds(y, 5).tolist()


def test_subsets_hold_every_class() -> None:
    y = np.array([0] * 100 + [1] * 20 + [2] + [3] * 3)
    rows = stratified_subset(y, 31)
    assert np.bincount(y[rows]).tolist() == [25, 5, 1, 2]
    assert len(set(rows)) == len(rows)


def test_images_are_left_out_where_half_of_the_classes_have_two() -> None:
    assert scored_rows(np.array([0, 0, 1, 2, 2, 3])).tolist() == [0, 1, 3, 4]
    assert scored_rows(np.array([0, 0, 1, 2])).tolist() == []


WRONG = {
    "unknown probe": dict(kind="svm"),
    "labels .*: give features": dict(y=np.zeros(3, int)),
    "label 3 of 3 classes": dict(y=np.arange(12) % 4),
    "labels are float64": dict(y=np.zeros(12)),
    "of 1 class": dict(y=np.zeros(12, int)),
    "not all finite": dict(z=np.full((12, 4), np.nan, np.float32)),
    "are the same": dict(z=np.ones((12, 4), np.float32)),
    "weights .*: give 3 numbers above 0": dict(weights=np.array([1, 0, 1])),
    "5 validation features an image, 4 in": dict(valid=(np.ones((2, 5)), np.array([0, 1]))),
    "no validation image": dict(y=np.arange(12) % 2, valid=(np.ones((2, 4)), np.array([2, 2]))),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_input(message: str) -> None:
    (z, y) = made(12, 4, 3)
    given = dict(kind="logistic", z=z, y=y, classes=3) | WRONG[message]
    with pytest.raises(UserError, match=message) as error:
        fit_probe(**given)
    assert "\n" not in str(error.value)


def test_probes_of_another_kind_or_size_are_refused() -> None:
    (z, y) = made(12, 4, 3)
    with pytest.raises(UserError, match="not linear"):
        as_classifier(fit_probe("centroid", z, y, 3), 4)
    with pytest.raises(UserError, match="takes 4 features an image, not 5"):
        as_classifier(fit_probe("ridge", z, y, 3), 5)
    with pytest.raises(UserError, match=r"the probe takes \[M,4\]"):
        apply_probe(fit_probe("ridge", z, y, 3), z[:, :2])
