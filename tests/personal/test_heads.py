"""What is fitted to features of a few photographs: choice, balance, closed forms, scales."""

import numpy as np
import pytest

from metalearn.errors import UserError
from metalearn.personal.heads import HEADS, check_method, chosen_head, fit_centroid
from metalearn.transfer import centroid
from metalearn.transfer.fitted import Sample
from metalearn.transfer.probes import apply_probe
from metalearn.transfer.scores import likeliest_scale


def made(counts: tuple[int, ...], noise: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    """Features about a mean per class, not about zero."""
    rng = np.random.default_rng(3)
    y = np.repeat(np.arange(len(counts)), counts)
    z = rng.normal(size=(len(counts), 9))[y] + noise * rng.normal(size=(len(y), 9)) + 0.5
    return z.astype(np.float32), y


def test_auto_is_centroids_below_two_photos_a_class_and_ridge_regression_from_there() -> None:
    assert chosen_head("auto", np.array([1, 1, 1]))[0] == "centroid"
    assert chosen_head("auto", np.array([3, 1, 1]))[0] == "centroid"
    assert chosen_head("auto", np.array([2, 2]))[0] == "ridge"
    assert chosen_head("auto", np.array([5, 1, 1, 1]))[0] == "ridge"
    for name in HEADS:
        assert chosen_head(name, np.array([1, 1])) == (name, "as asked for")


def test_an_unknown_method_is_refused() -> None:
    check_method("auto")
    with pytest.raises(UserError, match="unknown method 'forest': choose one of auto, centroid"):
        check_method("forest")


@pytest.mark.parametrize("name", HEADS)
def test_a_large_class_wins_no_photo_for_being_large(name: str) -> None:
    """Ten photographs of one class and one of another, mirrored: the answers are mirrored."""
    rng = np.random.default_rng(0)
    away = np.array([1.0, 0.4, -0.2, 0.1])
    many = away + 0.3 * rng.normal(size=(10, 4))
    one = -away[None]
    z = np.concatenate([many, one]).astype(np.float32)
    asked = rng.normal(size=(50, 4)).astype(np.float32)
    large_first = HEADS[name](z, np.repeat([0, 1], [10, 1]), 2, 5.0)
    large_second = HEADS[name](-z, np.repeat([1, 0], [10, 1]), 2, 5.0)
    found = apply_probe(large_first, asked)
    np.testing.assert_allclose(found, apply_probe(large_second, -asked)[:, ::-1], atol=2e-3)
    middle = apply_probe(large_first, np.stack([many.mean(0), one[0]]).astype(np.float32))
    assert middle.argmax(1).tolist() == [0, 1]


@pytest.mark.parametrize("name", ["ridge", "logistic"])
def test_photos_twice_are_photos_once_with_balanced_classes(name: str) -> None:
    """A class all of whose photographs are there three times is no likelier than before."""
    (z, y) = made((2, 2))
    weights = HEADS[name](np.concatenate([z, z[:2], z[:2]]), np.append(y, [0] * 4), 2, 0.0)
    middle = (z[:2].mean(0) + z[2:].mean(0)) / 2
    logits = apply_probe(weights, middle[None])[0]
    assert abs(logits[0] - logits[1]) < 0.3 * abs(np.subtract(*apply_probe(weights, z[:1])[0]))


@pytest.mark.parametrize("prior", [0.0, 4.0, 20.0])
def test_centroids_are_those_of_a_plain_loop(prior: float) -> None:
    (z, y) = made((3, 1, 2))
    probe = fit_centroid(z, y, 3, prior)
    centre = z.sum(0) / (len(z) + prior)
    asked = np.random.default_rng(5).normal(size=(4, 9)).astype(np.float32)
    for row, logits in zip(asked, apply_probe(probe, asked), strict=True):
        for label in range(3):
            mean = (z[y == label] - centre).mean(0)
            x = row - centre
            cosine = x @ mean / np.linalg.norm(x) / np.linalg.norm(mean)
            assert logits[label] == pytest.approx(probe.scale * cosine, abs=1e-4)


@pytest.mark.parametrize("prior", [0.0, 1.0, 20.0])
def test_centroids_without_each_photo_are_a_fit_without_it(prior: float) -> None:
    (z, y) = made((4, 1, 2, 3))
    sample = Sample(z, y, np.ones(4))
    whole = z.astype(np.float64).sum(0) / (len(z) + prior)
    means = centroid.class_means(sample, whole)
    found = centroid.left_out(sample, whole, means, prior)
    for i in range(len(z)):
        others = np.arange(len(z)) != i
        centre = z[others].astype(np.float64).sum(0) / (len(z) - 1 + prior)
        x = z[i] - centre
        for label in range(4):
            rows = others & (y == label)
            expected = 0.0
            if rows.any():
                mean = z[rows].astype(np.float64).mean(0) - centre
                expected = x @ mean / np.linalg.norm(x) / np.linalg.norm(mean)
            assert found[i, label] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", HEADS)
def test_photos_that_all_look_the_same_are_refused(name: str) -> None:
    z = np.ones((4, 3), np.float32)
    with pytest.raises(UserError, match="look the same"):
        HEADS[name](z, np.array([0, 0, 1, 1]), 2, 0.0)


def pairs(right: int, wrong: int, margin: float = 1.0) -> tuple[np.ndarray, Sample]:
    """Outputs of two classes that differ by a margin, for the right class or the wrong one."""
    outputs = np.tile([margin, 0.0], (right + wrong, 1))
    y = np.repeat([0, 1], [right, wrong])
    return outputs, Sample(outputs, y, np.ones(2))


@pytest.mark.parametrize(("right", "wrong"), [(3, 0), (4, 1), (30, 0), (95, 5)])
@pytest.mark.parametrize("margin", [0.5, 2.0])
def test_a_smoothed_scale_is_the_closed_form(right: int, wrong: int, margin: float) -> None:
    """Of one margin, the likeliest logit is the log odds of the share that is right."""
    (outputs, sample) = pairs(right, wrong, margin)
    number = right + wrong
    share = (number + 1) / (number + 2)
    taken = (right * share + wrong * (1 - share)) / number
    expected = np.log(taken / (1 - taken)) / margin
    assert likeliest_scale(outputs, sample, smoothed=True) == pytest.approx(expected, rel=1e-3)


def test_of_separable_photos_only_the_smoothed_scale_is_moderate() -> None:
    (outputs, sample) = pairs(10, 0)
    assert likeliest_scale(outputs, sample) > 15
    assert likeliest_scale(outputs, sample, smoothed=True) == pytest.approx(np.log(11), rel=1e-3)


def test_of_many_photos_smoothing_changes_little() -> None:
    (outputs, sample) = pairs(7000, 1500)
    plain = likeliest_scale(outputs, sample)
    assert plain == pytest.approx(np.log(7000 / 1500), rel=1e-3)
    assert likeliest_scale(outputs, sample, smoothed=True) == pytest.approx(plain, rel=2e-3)
