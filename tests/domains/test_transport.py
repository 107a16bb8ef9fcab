"""Optimal transport, against the marginals, two points, exact transport and POT."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp

from metalearn.domains.kernels import squared_distances
from metalearn.domains.sinkhorn import sinkhorn
from metalearn.domains.transport import class_penalty, class_plan, out_of_sample, transport
from metalearn.domains.types import Domains
from metalearn.errors import UserError
from tests.domains.made import domains


def a_cost(number: int = 12, others: int = 9, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    cost = squared_distances(random.normal(size=(number, 3)), random.normal(size=(others, 3)) + 1)
    return cost / cost.max()


@pytest.mark.parametrize("entropy", [1.0, 0.05, 0.005])
def test_rows_and_columns_of_a_plan_have_their_sums(entropy: float) -> None:
    found = sinkhorn(a_cost(), entropy)
    np.testing.assert_allclose(found.plan.sum(1), 1 / 12, atol=1e-9)
    np.testing.assert_allclose(found.plan.sum(0), 1 / 9, atol=1e-12)
    assert found.error <= 1e-9


@pytest.mark.parametrize("entropy", [2.0, 0.3])
def test_plan_of_two_points_is_exact(entropy: float) -> None:
    """Symmetric: p / (1/2 - p) = exp(1 / entropy)."""
    plan = sinkhorn(1 - np.eye(2), entropy).plan
    stays = 0.5 / (1 + np.exp(-1 / entropy))
    np.testing.assert_allclose(plan, [[stays, 0.5 - stays], [0.5 - stays, stays]], atol=1e-12)


@pytest.mark.parametrize("entropy", [0.5, 0.02])
def test_plan_is_that_of_pot(entropy: float) -> None:
    ot = pytest.importorskip("ot", reason="POT is not installed, see requirements-parity.txt")
    cost = a_cost()
    (a, b) = (np.full(12, 1 / 12), np.full(9, 1 / 9))
    expected = ot.sinkhorn(a, b, cost, entropy, "sinkhorn_log", numItermax=20000, stopThr=1e-13)
    np.testing.assert_allclose(sinkhorn(cost, entropy, 1e-12).plan, expected, atol=1e-10)


def test_transported_images_are_those_of_pot() -> None:
    ot = pytest.importorskip("ot", reason="POT is not installed, see requirements-parity.txt")
    given = domains()
    model = ot.da.SinkhornTransport(reg_e=0.05, norm="max", max_iter=20000, tol=1e-12)
    model.fit(Xs=given.source_z, Xt=given.target_z)
    found = transport(given, entropy=0.05)
    np.testing.assert_allclose(found.source, model.transform(given.source_z), atol=1e-4)


def test_little_entropy_costs_hardly_more_than_the_best_assignment_and_nothing_overflows() -> None:
    cost = a_cost(8, 8)
    found = sinkhorn(cost, 2e-3, 1e-9, most=50000)
    exact = cost[linear_sum_assignment(cost)].mean()
    assert exact - 1e-8 <= (found.plan * cost).sum() <= exact + 2e-3 * np.log(64)
    with np.errstate(all="raise", under="ignore"):
        far = sinkhorn(1e4 * cost, 1.0, most=50)
    assert np.isfinite(far.plan).all()


def test_plan_is_that_of_sweeps_in_logarithms_alone() -> None:
    scaled = a_cost() / 0.05
    (f, g) = (np.zeros(12), np.zeros(9))
    for _ in range(2000):
        f = -np.log(12) - logsumexp(g - scaled, axis=1)
        g = -np.log(9) - logsumexp(f[:, None] - scaled, axis=0)
    expected = np.exp(f[:, None] + g - scaled)
    np.testing.assert_allclose(sinkhorn(a_cost(), 0.05, 1e-12).plan, expected, atol=1e-10)


def test_source_becomes_the_means_that_it_is_sent_to_and_the_target_stays() -> None:
    given = domains()
    found = transport(given, entropy=0.02)
    cost = squared_distances(given.source_z, given.target_z)
    plan = sinkhorn(cost / cost.max(), 0.02, 1e-6).plan
    shares = plan / plan.sum(1, keepdims=True)
    np.testing.assert_allclose(found.source, shares @ given.target_z)
    np.testing.assert_array_equal(found.transform(given.target_z), given.target_z)


def test_one_source_image_among_equal_distances_goes_to_the_mean() -> None:
    source = np.array([[0.0, 0.0], [0.0, 0.0]])
    target = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    found = transport(Domains(source, np.array([0, 1]), target, 2))
    np.testing.assert_allclose(found.source, 0, atol=1e-12)


def test_class_penalty_makes_target_images_receive_from_one_class() -> None:
    given = domains(24, 20)
    cost = squared_distances(given.source_z, given.target_z)
    cost /= cost.max()
    (plain, by_class) = (class_plan(cost, given.source_y, 0.1, each).plan for each in (0.0, 0.3))
    penalties = [class_penalty(plan, given.source_y) for plan in (plain, by_class)]
    # One class for each image is 2.41, all classes alike 3.51
    assert penalties[1] < 2.5 < 2.7 < penalties[0]
    np.testing.assert_allclose(by_class.sum(1), 1 / 24, atol=1e-6)


def test_rounds_of_the_class_penalty_lower_the_objective(monkeypatch: pytest.MonkeyPatch) -> None:
    given = domains(24, 20)
    cost = squared_distances(given.source_z, given.target_z)
    cost /= cost.max()
    values = []
    for rounds in range(5):
        monkeypatch.setattr("metalearn.domains.transport.ROUNDS", rounds)
        plan = class_plan(cost, given.source_y, 0.1, 0.3).plan
        negative_entropy = (plan * np.log(np.maximum(plan, 1e-300))).sum()
        penalty = class_penalty(plan, given.source_y)
        values.append((plan * cost).sum() + 0.1 * negative_entropy + 0.3 * penalty)
    assert (np.diff(values) < 1e-6).all()
    assert values[-1] < values[0] - 1e-3


def test_penalty_of_shares_by_hand() -> None:
    plan = np.array([[0.25, 0.5], [0.25, 0.0]])  # the first from both classes alike
    expected = 2 * (2 * np.sqrt(0.51) + np.sqrt(1.01) + np.sqrt(0.01)) / 2
    assert class_penalty(plan, np.array([0, 1])) == pytest.approx(expected)


def test_new_source_images_move_as_the_nearest_does() -> None:
    source = np.array([[0.0, 0.0], [5.0, 0.0]])
    moved = np.array([[1.0, 1.0], [5.0, -2.0]])
    new = out_of_sample(source, moved, np.array([[0.0, 0.0], [4.0, 1.0]]))
    np.testing.assert_allclose(new, [[1.0, 1.0], [4.0, -1.0]])


def test_plans_that_do_not_converge_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metalearn.domains.transport.TOLERANCE", -1.0)
    assert "not converged: rows miss" in transport(domains(9, 7), entropy=0.1).note


@pytest.mark.parametrize("settings", [{"entropy": 0.0}, {"by_class": -1.0}])
def test_settings_are_checked(settings: dict) -> None:
    with pytest.raises(UserError, match="transport's entropy"):
        transport(domains(), **settings)
