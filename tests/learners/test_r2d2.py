"""Ridge regression: primal and dual, against numpy, and its derivative by finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from metalearn.learners.metaoptnet import ridge_head
from metalearn.learners.r2d2 import r2d2_head, ridge_weights


def problem(images: int, size: int, ways: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(images, size)), rng.permutation(np.arange(images) % ways)


@pytest.mark.parametrize("penalty", [0.1, 30.0])
def test_ridge_regression_is_the_same_in_primal_and_dual(penalty: float) -> None:
    """The same problem with features to spare (zeros, which get no weight) and without is solved on
    either side.
    """
    with jax.enable_x64(True):
        x, y = problem(6, 4)
        target = np.eye(3)[y]
        primal = ridge_weights(x, target, penalty)
        dual = ridge_weights(np.pad(x, ((0, 0), (0, 5))), target, penalty)
        np.testing.assert_allclose(dual[:4], primal, atol=1e-12)
        np.testing.assert_allclose(dual[4:], 0, atol=1e-12)
        np.testing.assert_allclose(
            primal, np.linalg.inv(x.T @ x + penalty * np.eye(4)) @ x.T @ target, atol=1e-12
        )


@pytest.mark.parametrize(("images", "size"), [(6, 10), (9, 4)])
def test_r2d2_minimises_its_objective(images: int, size: int) -> None:
    """Mean squared error + penalty * |W|^2, the biases' row among W: its gradient vanishes at what
    fit returns.
    """
    with jax.enable_x64(True):
        z, y = problem(images, size)
        made = r2d2_head(penalty=2.0, scale=3.0)
        params = made.init(jax.random.key(0), (size,))
        head = made.head(params)
        w = np.asarray(head.fit(None, jnp.asarray(z), jnp.asarray(y), 3))
        x = np.pad(z, ((0, 0), (0, 1)), constant_values=1.0)
        gradient = x.T @ (x @ w - np.eye(3)[y]) / images + 2.0 * w
        np.testing.assert_allclose(gradient, 0, atol=1e-12)
        np.testing.assert_allclose(
            head.predict(jnp.asarray(w), jnp.asarray(z)), 3.0 * x @ w, rtol=1e-6
        )


def test_metaoptnet_ridge_minimises_its_objective() -> None:
    with jax.enable_x64(True):
        z, y = problem(6, 10)
        head = ridge_head(penalty=50.0).head({"scale": 0.5})
        found = head.predict(head.fit(None, jnp.asarray(z), jnp.asarray(y), 3), jnp.asarray(z[:2]))
        expected = z[:2] @ np.linalg.solve(z.T @ z + 50 * np.eye(10), z.T @ np.eye(3)[y])
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(("images", "size"), [(6, 10), (9, 4)])
def test_r2d2_derivatives_are_those_of_finite_differences(images: int, size: int) -> None:
    with jax.enable_x64(True):
        z, y = problem(images, size)
        made = r2d2_head(penalty=2.0, scale=3.0)

        def logits(params: dict, z: jax.Array) -> jax.Array:
            head = made.head(params)
            return head.predict(head.fit(None, z, jnp.asarray(y), 3), z[:2] + 1)

        params = {"scale": jnp.asarray(3.0)}
        check_grads(logits, (params, jnp.asarray(z)), order=1, modes=("rev",))
