"""The multi-class SVM: against its primal solved by SciPy, its conditions of optimality, its
derivative.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from metalearn.errors import UserError
from metalearn.learners.metaoptnet import metaoptnet, svm_dual, svm_head
from metalearn.types import Array
from tests.small import quick_jit, tiny_network


def problem(ways: int, shots: int, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(ways), shots))
    return rng.normal(size=(ways, size))[y] + rng.normal(size=(len(y), size)), y


def primal(z: np.ndarray, y: np.ndarray, ways: int, c: float) -> np.ndarray:
    """Weights [D,N] of least |w|^2 / 2 + c * sum of slacks, each the largest shortfall of a margin
    of 1.
    """
    images, size = z.shape

    def value(theta: np.ndarray) -> float:
        return np.square(theta[: size * ways]).sum() / 2 + c * theta[size * ways :].sum()

    def slope(theta: np.ndarray) -> np.ndarray:
        return np.concatenate([theta[: size * ways], np.full(images, c)])

    rows = []  # a constraint for every image and class: own score - score + slack >= 1, or slack >= 0 for its own class
    for x, label, slack in zip(z, y, np.eye(images), strict=True):
        for n in range(ways):
            difference = np.eye(ways)[label] - np.eye(ways)[n]
            rows.append(np.concatenate([np.outer(x, difference).reshape(-1), slack]))
    matrix, bound = np.stack(rows), 1 - np.eye(ways)[y].reshape(-1)
    start = np.concatenate([np.zeros(size * ways), np.full(images, 2.0)])
    constraint = {
        "type": "ineq",
        "fun": lambda theta: matrix @ theta - bound,
        "jac": lambda theta: matrix,
    }
    options = {"maxiter": 500, "ftol": 1e-13}
    found = minimize(
        value, start, jac=slope, constraints=[constraint], method="SLSQP", options=options
    )
    assert found.success, found.message
    return found.x[: size * ways].reshape(size, ways)


@pytest.mark.parametrize(
    ("ways", "shots", "size", "c"),
    [(2, 1, 3, 0.1), (3, 2, 4, 0.1), (3, 3, 2, 1.0), (5, 1, 6, 3.0), (4, 3, 20, 0.1)],
)
def test_svm_weights_are_those_of_the_primal_problem(
    ways: int, shots: int, size: int, c: float
) -> None:
    z, y = problem(ways, shots, size)
    expected = primal(z, y, ways, c)
    with jax.enable_x64(True):
        fit = quick_jit(svm_head(c).head({"scale": 1.0}).fit, static_argnums=3)
        np.testing.assert_allclose(
            fit(None, jnp.asarray(z), jnp.asarray(y), ways), expected, atol=2e-5
        )
        found = fit(None, jnp.asarray(z, jnp.float32), jnp.asarray(y), ways)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize(("shots", "scale"), [(1, 1.0), (15, 1.0), (5, 30.0)])
def test_svm_dual_is_feasible_and_optimal_in_float32(shots: int, scale: float) -> None:
    """Rows sum to zero, no entry passes its bound, and the duality gap closes; many images, long
    features, vmap.
    """
    problems = [problem(5, shots, 64, seed) for seed in range(2)]
    z = scale * np.stack([p[0] for p in problems])
    target = np.eye(5)[np.stack([p[1] for p in problems])]
    kernel = z @ z.swapaxes(1, 2)
    a = np.asarray(
        quick_jit(jax.vmap(svm_dual))(kernel.astype(np.float32), target.astype(np.float32)),
        np.float64,
    )
    assert np.isfinite(a).all()
    np.testing.assert_allclose(a.sum(-1), 0, atol=1e-5)
    assert (a <= 0.1 * target + 1e-5).all()
    scores = kernel @ a
    shortfall = (1 - target + scores - (target * scores).sum(-1, keepdims=True)).max(-1)
    quadratic = (a * scores).sum((1, 2)) / 2
    gap = quadratic + 0.1 * shortfall.sum(-1) - ((target * a).sum((1, 2)) - quadratic)
    assert (np.abs(gap) < 2e-3 * (1 + 0.1 * 5 * shots)).all()


def test_svm_derivative_is_that_of_the_optimum() -> None:
    """Against differences of solutions of perturbed problems."""
    with jax.enable_x64(True):
        z, y = problem(3, 2, 4)
        target, pull = jnp.eye(3)[y], jnp.asarray(np.random.default_rng(1).normal(size=(6, 3)))

        @quick_jit
        def value(z: Array) -> Array:
            return (pull * svm_dual(z @ z.T, target, iterations=30)).sum()

        found = np.asarray(quick_jit(jax.grad(value.__wrapped__))(jnp.asarray(z)))
        expected = np.zeros_like(z)
        for place in np.ndindex(z.shape):
            step = np.zeros_like(z)
            step[place] = 1e-5
            expected[place] = (value(z + step) - value(z - step)) / 2e-5
        assert np.abs(expected).max() > 1e-2
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_metaoptnet_refuses_an_unknown_head() -> None:
    with pytest.raises(UserError, match="head must be svm or ridge, not 'tree'"):
        metaoptnet(tiny_network(), 5, head="tree")
