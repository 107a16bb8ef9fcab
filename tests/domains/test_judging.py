"""Validators, distances of domains, negative transfer and the nearest image, by hand."""

import numpy as np
import pytest

from metalearn.domains import nearest, validators
from metalearn.domains.distance import mean_discrepancy, proxy_a_distance
from metalearn.domains.negative import gain
from metalearn.domains.validators import VALIDATORS, Judged, oracle
from metalearn.errors import UserError


def judged(target: np.ndarray, ratio: np.ndarray | None = None) -> Judged:
    """Target images with these probabilities, and three source images, two of them right."""
    source = np.log(np.array([[0.5, 0.5], [0.2, 0.8], [0.9, 0.1]]))
    weights = np.ones(3) if ratio is None else ratio
    return Judged(source, np.array([0, 0, 0]), weights, np.log(target))


SURE = np.array([[0.8, 0.2], [0.4, 0.6]])


def entropy(p: np.ndarray) -> float:
    return float(-(p * np.log(p)).sum())


def test_entropy_and_information_by_hand() -> None:
    mean = (entropy(SURE[0]) + entropy(SURE[1])) / 2
    assert VALIDATORS["entropy"].score(judged(SURE)) == pytest.approx(-mean)
    expected = entropy(np.array([0.6, 0.4])) - mean
    assert VALIDATORS["information"].score(judged(SURE)) == pytest.approx(expected)
    alike = np.repeat(SURE[:1], 5, axis=0)
    assert VALIDATORS["information"].score(judged(alike)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("rows", [1024, 2])
def test_neighbourhood_density_by_hand(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validators, "ROWS", rows)
    p = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.5, 0.5]])
    unit = p / np.linalg.norm(p, axis=1, keepdims=True)
    found = []
    for i in range(4):
        others = [np.exp(unit[i] @ unit[j] / 0.05) for j in range(4) if j != i]
        found.append(entropy(np.array(others) / sum(others)))
    score = VALIDATORS["density"].score(judged(p))
    assert score == pytest.approx(np.mean(found))


def test_neighbourhood_density_is_highest_where_all_others_are_as_near() -> None:
    alike = VALIDATORS["density"].score(judged(np.repeat(SURE[:1], 5, axis=0)))
    assert alike == pytest.approx(np.log(4))
    with pytest.raises(UserError, match="neighbourhood density of 1 images"):
        VALIDATORS["density"].score(judged(SURE[:1]))


def test_dev_by_hand_is_the_plain_risk_for_equal_weights() -> None:
    losses = -np.log([0.5, 0.2, 0.9])
    assert VALIDATORS["dev"].score(judged(SURE)) == pytest.approx(-losses.mean())
    w = np.array([0.5, 2.0, 1.1])
    weighted = w * losses
    eta = -np.cov(weighted, w, bias=True)[0, 1] / w.var()
    expected = weighted.mean() + eta * w.mean() - eta
    assert VALIDATORS["dev"].score(judged(SURE, w)) == pytest.approx(-expected)


def test_control_variate_lowers_the_variance_of_dev() -> None:
    random = np.random.default_rng(0)
    (plain, controlled) = ([], [])
    for _ in range(200):
        x = random.normal(size=100)
        w = np.exp(x - 0.5)
        logits = np.stack([x, -x], 1)
        given = Judged(logits, np.zeros(100, int), w, logits)
        losses = np.log1p(np.exp(-2 * x))
        plain.append((w * losses).mean())
        controlled.append(-VALIDATORS["dev"].score(given))
    assert np.var(controlled) < np.var(plain)
    truth = np.log1p(np.exp(-2 * (random.normal(size=100_000) + 1))).mean()
    assert np.mean(controlled) == pytest.approx(truth, abs=0.03)


def test_accuracies_of_the_source_and_of_the_oracle() -> None:
    assert VALIDATORS["source"].score(judged(SURE)) == pytest.approx(2 / 3)
    assert oracle(np.log(SURE), np.array([0, 0])) == 0.5
    assert "oracle" not in VALIDATORS


def test_proxy_a_distance_is_2_of_separate_domains_and_near_0_of_one() -> None:
    random = np.random.default_rng(0)
    z = random.normal(size=(400, 3))
    assert proxy_a_distance(z[:200], z[200:] + 20) == pytest.approx(2)
    assert proxy_a_distance(z[:200], z[200:]) < 0.3
    # Two normals 2 apart: the best error is that of a threshold halfway, 0.159
    far = proxy_a_distance(*(random.normal(size=(4000, 1)) + by for by in (0, 2)))
    assert far == pytest.approx(2 * (1 - 2 * 0.1587), abs=0.06)
    with pytest.raises(UserError, match="the target has 3 images"):
        proxy_a_distance(z, z[:3])


def test_weights_that_undo_a_shift_leave_no_distance() -> None:
    random = np.random.default_rng(0)
    source = random.normal(size=(4000, 1))
    target = random.normal(size=(4000, 1)) + 1
    ratio = np.exp(source[:, 0] - 0.5)
    assert proxy_a_distance(source, target) > 0.6
    assert proxy_a_distance(source, target, ratio / ratio.mean()) < 0.15
    equal = proxy_a_distance(source, target, np.ones(4000))
    assert equal == pytest.approx(proxy_a_distance(source, target), abs=1e-3)


def test_mean_discrepancy_is_the_distance_of_means_in_the_feature_space() -> None:
    random = np.random.default_rng(0)
    (x, y) = (random.normal(size=(20, 3)), random.normal(size=(15, 3)) + 1)
    unit = np.square(np.concatenate([x, y])).sum(1).mean()
    expected = np.square(x.mean(0) - y.mean(0)).sum() / unit
    assert mean_discrepancy(x, y, "linear") == pytest.approx(expected)
    assert mean_discrepancy(x, x) == pytest.approx(0, abs=1e-12)
    assert mean_discrepancy(x, y) < mean_discrepancy(x, y + 1)


def test_gain_has_students_interval_of_pairs() -> None:
    found = gain(np.array([0.52, 0.53, 0.57]), np.array([0.50, 0.50, 0.50]))
    assert found.mean == pytest.approx(0.04)
    half = 4.302653 * np.std([0.02, 0.03, 0.07], ddof=1) / np.sqrt(3)
    assert found.high - found.mean == pytest.approx(half, rel=1e-6)
    assert found.mean - found.low == pytest.approx(half, rel=1e-6)


@pytest.mark.parametrize(
    ("adapted", "negative"),
    [([0.4, 0.41, 0.39], True), ([0.4, 0.6, 0.45], False), ([0.6] * 3, False)],
)
def test_transfer_is_negative_where_the_whole_interval_is(adapted: list, negative: bool) -> None:
    assert gain(np.array(adapted), np.full(3, 0.5)).negative is negative


@pytest.mark.parametrize(("one", "other"), [([0.5], [0.5]), ([0.5, 0.4], [0.5])])
def test_gains_of_one_seed_or_of_other_seeds_are_refused(one: list, other: list) -> None:
    with pytest.raises(UserError):
        gain(np.array(one), np.array(other))


def test_nearest_image_is_that_of_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "ROWS", 4)
    random = np.random.default_rng(0)
    (z, y) = (random.normal(size=(30, 3)), random.integers(0, 4, 30) % 3)
    new = random.normal(size=(11, 3))
    logits = nearest.nearest_logits(z, y, 4, new)
    distances = np.square(new[:, None] - z).sum(-1)
    np.testing.assert_array_equal(logits.argmax(1), y[distances.argmin(1)])
    for label in range(3):
        np.testing.assert_allclose(logits[:, label], -distances[:, y == label].min(1), atol=1e-9)
    assert (logits[:, 3] < logits[:, :3].min() - 1000).all()
