"""Weights of the loss, against small quadratic programs, optimality and a known ratio."""

import numpy as np
import pytest
from scipy.optimize import linprog, minimize

from metalearn.domains.classifiers import classified, judge
from metalearn.domains.discriminator import density_ratio
from metalearn.domains.few import training_set
from metalearn.domains.importance import importance, mixture, slopes
from metalearn.domains.kernels import Kernel
from metalearn.domains.mean_matching import _least, mean_matching, project
from metalearn.domains.types import Domains
from metalearn.domains.validators import VALIDATORS
from metalearn.domains.weights import discriminator, effective, kliep, kmm
from metalearn.errors import UserError

WEIGHTED = (kmm, kliep, discriminator)


def shifted(number: int = 300, others: int = 200, by: float = 1.0) -> Domains:
    """Normal features of deviation 1 about 0 and about `by`: the ratio is exp(by x - by^2 / 2)."""
    random = np.random.default_rng(0)
    source = random.normal(size=(number, 1))
    target = random.normal(size=(others, 1)) + by
    return Domains(source, (source[:, 0] > 0).astype(int), target, 2)


def known(z: np.ndarray, by: float = 1.0) -> np.ndarray:
    ratio = np.exp(by * z[:, 0] - by**2 / 2)
    return ratio / ratio.mean()


def test_effective_sample_size_counts_equal_weights() -> None:
    assert effective(np.full(7, 0.3)) == pytest.approx(7)
    assert effective(np.array([1.0, 0, 0, 0])) == pytest.approx(1)
    assert effective(np.array([2.0, 1.0, 1.0])) == pytest.approx(16 / 6)


@pytest.mark.parametrize("bound", [1000.0, 1.5])
@pytest.mark.parametrize("slack", [0.0, 0.3])
def test_mean_matching_solves_its_quadratic_program(bound: float, slack: float) -> None:
    given = shifted(12, 9)
    kernel = Kernel("rbf", np.concatenate([given.source_z, given.target_z]), 0.5)
    within = kernel(given.source_z, given.source_z)
    across = kernel(given.source_z, given.target_z)
    found = mean_matching(within, across, bound, slack, 1e-9, 100_000)
    kappa = across.mean(1) * 12

    def objective(w: np.ndarray) -> float:
        return w @ within @ w / 2 - kappa @ w

    limits = [
        {"type": "ineq", "fun": lambda w: 12 * (1 + slack) - w.sum()},
        {"type": "ineq", "fun": lambda w: w.sum() - 12 * (1 - slack)},
    ]
    exact = minimize(
        objective,
        np.ones(12),
        jac=lambda w: within @ w - kappa,
        bounds=[(0, bound)] * 12,
        constraints=limits,
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    assert objective(found.weights) == pytest.approx(exact.fun, abs=1e-6)
    assert 0 <= objective(found.weights) - exact.fun + 1e-7 <= found.gap + 2e-7
    assert found.weights.min() >= 0 and found.weights.max() <= bound
    assert abs(found.weights.sum() - 12) <= 12 * slack + 1e-9


def test_mean_matching_of_separate_points_is_the_shares_of_the_target() -> None:
    """With a kernel of 1 at itself and 0 elsewhere the objective is (w - kappa)^2 / 2."""
    across = np.array([[1.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    found = mean_matching(np.eye(2), across, 1000.0, 0.1, 1e-12)
    np.testing.assert_allclose(found.weights, [1.5, 0.5], atol=1e-6)


@pytest.mark.parametrize("limits", [(4.0, 4.0), (0.0, 100.0), (1.0, 2.0)])
def test_projection_is_the_nearest_allowed_point(limits: tuple[float, float]) -> None:
    random = np.random.default_rng(1)
    x = 2 * random.normal(size=6)
    found = project(x, 1.5, limits)
    assert limits[0] - 1e-9 <= found.sum() <= limits[1] + 1e-9
    assert found.min() >= 0 and found.max() <= 1.5
    for _ in range(200):  # by the angle with every other one
        other = project(3 * random.normal(size=6), 1.5, limits)
        assert (x - found) @ (other - found) <= 1e-8


@pytest.mark.parametrize("limits", [(2.0, 5.0), (0.0, 1.0), (7.0, 8.0)])
def test_least_product_is_the_linear_programs(limits: tuple[float, float]) -> None:
    gradient = np.array([-1.0, 0.5, -0.2, 2.0, 0.1, -3.0])
    ones = np.ones((1, 6))
    rows = np.concatenate([ones, -ones])
    exact = linprog(gradient, rows, [limits[1], -limits[0]], bounds=(0, 1.5))
    assert _least(gradient, 1.5, limits) == pytest.approx(exact.fun)


def test_mixture_is_optimal_by_its_slopes() -> None:
    random = np.random.default_rng(0)
    at_target = random.exponential(size=(30, 5))
    found = mixture(at_target, 1e-9, 200_000)
    slope = slopes(at_target, found.shares)
    assert found.shares.sum() == pytest.approx(1)
    assert slope.max() <= 1 + 1e-8
    np.testing.assert_allclose(slope[found.shares > 1e-6], 1, atol=1e-6)

    def loss(x: np.ndarray) -> float:
        return -np.log(at_target @ (np.exp(x) / np.exp(x).sum())).mean()

    exact = minimize(loss, np.zeros(5), options={"gtol": 1e-9})
    assert -np.log(at_target @ found.shares).mean() == pytest.approx(exact.fun, abs=1e-7)


def test_slopes_are_the_gradient_of_the_log_likelihood() -> None:
    random = np.random.default_rng(0)
    (at_target, shares) = (random.exponential(size=(9, 4)), np.full(4, 0.25))
    step = 1e-6
    for i, slope in enumerate(slopes(at_target, shares)):
        values = [np.log(at_target @ (shares + s * np.eye(4)[i])).mean() for s in (step, -step)]
        assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-6)


def test_importance_has_a_mean_of_1_and_is_near_the_known_ratio() -> None:
    given = shifted()
    found = importance(given.source_z, given.target_z)
    assert found.weights.mean() == pytest.approx(1)
    assert np.corrcoef(found.weights, known(given.source_z))[0, 1] > 0.9
    assert found.likelihood > 0.2  # of equal weights it is 0; of the known ratio 1/2


def test_discriminator_finds_the_known_ratio_of_two_normals() -> None:
    given = shifted(3000, 2000)
    ratio = density_ratio(given.source_z, given.target_z)
    assert ratio.w[0] == pytest.approx(1, abs=0.15)
    assert ratio.b == pytest.approx(-0.5, abs=0.15)
    expected = np.exp(given.source_z[:, 0] - 0.5)
    np.testing.assert_allclose(ratio.at(given.source_z).mean(), 1, atol=0.1)
    assert np.corrcoef(ratio.at(given.source_z), expected)[0, 1] > 0.99


@pytest.mark.parametrize("method", WEIGHTED)
def test_weights_follow_a_known_shift(method) -> None:
    given = shifted()
    found = method(given)
    assert found.weights.mean() == pytest.approx(1)
    assert (found.weights >= 0).all()
    assert np.corrcoef(found.weights, known(given.source_z))[0, 1] > 0.85
    mean = np.average(given.source_z[:, 0], weights=found.weights)
    assert abs(mean - given.target_z.mean()) < 0.35
    np.testing.assert_array_equal(found.source, given.source_z)
    size = effective(found.weights)
    assert f"effective sample size {size:.0f} of 300" in found.note


@pytest.mark.parametrize("method", WEIGHTED)
def test_weights_of_the_same_images_in_both_domains_are_nearly_equal(method) -> None:
    given = shifted(200, 200)
    given = given._replace(target_z=given.source_z)
    assert effective(method(given).weights) > 150


def test_domains_that_do_not_overlap_are_told() -> None:
    given = shifted(10, 200, by=1e6)
    with pytest.raises(UserError, match="the domains do not overlap"):
        importance(given.source_z, given.target_z)


@pytest.mark.parametrize("by", [30.0, 1e5])
def test_weights_of_separate_domains_are_finite(by: float) -> None:
    given = shifted(40, 40, by=by)
    for method in WEIGHTED:
        found = method(given)
        assert np.isfinite(found.weights).all() and found.weights.mean() == pytest.approx(1)
        assert 1 - 1e-9 <= effective(found.weights) <= 40 + 1e-9
        # No class is lost, however few images count
        training = training_set(found, given.source_y, 2)
        assert np.isfinite(classified("ridge", training, given.target_z)).all()
        assert np.isfinite(VALIDATORS["dev"].score(judge("ridge", given, found)))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UserError, match="kmm's bound"):
        kmm(shifted(20, 20), bound=0.5)
    with pytest.raises(UserError, match="kliep's centres"):
        kliep(shifted(20, 20), centres=0)
