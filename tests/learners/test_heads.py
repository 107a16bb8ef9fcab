"""Heads against independent computations: nearest mean, scikit-learn's objective by L-BFGS, SGD in
numpy.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from metalearn.errors import UserError
from metalearn.learners.heads import nearest_centroid, nearest_neighbour, sgd_classifier
from metalearn.learners.logistic import logistic_regression
from metalearn.ops.losses import unit
from metalearn.types import Head
from tests.small import quick_jit


@pytest.fixture
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def features(ways: int, shots: int, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows about a mean per class, shuffled; every class `shots` times."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(ways), shots))
    return rng.normal(size=(ways, size))[y] + rng.normal(size=(len(y), size)), y


def unit_rows(z: np.ndarray) -> np.ndarray:
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_nearest_centroid_classifies_by_the_closest_class_mean(
    distance: str, float64: None
) -> None:
    z, y = features(4, 3, 6)
    queries, _ = features(4, 5, 6, seed=1)
    means = np.stack([z[y == n].mean(0) for n in range(4)])
    head = nearest_centroid(distance, scale=2.0)
    found = head.predict(head.fit(None, z, y, 4), jnp.asarray(queries))
    if distance == "euclidean":
        expected = -2.0 * np.square(queries[:, None] - means[None]).sum(-1)
    else:
        expected = 2.0 * unit_rows(queries) @ unit_rows(means).T
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_normalised_centroid_and_nearest_neighbour_follow_their_equations(float64: None) -> None:
    """Wang et al. 2019: nearest mean, or nearest row, of rows of length one."""
    z, y = features(4, 3, 6)
    queries, _ = features(4, 5, 6, seed=1)
    rows, q = unit_rows(z), unit_rows(queries)
    means = np.stack([rows[y == n].mean(0) for n in range(4)])
    nearest = np.stack(
        [np.square(q[:, None] - rows[y == n][None]).sum(-1).min(1) for n in range(4)], -1
    )
    distances = np.square(q[:, None] - means[None]).sum(-1)
    for head, logits in (
        (nearest_centroid(normalise=True), -distances),
        (nearest_neighbour(), -nearest),
    ):
        np.testing.assert_allclose(
            head.predict(head.fit(None, z, y, 4), jnp.asarray(queries)), logits, rtol=1e-8
        )


def objective(
    theta: np.ndarray, z: np.ndarray, y: np.ndarray, c: float
) -> tuple[float, np.ndarray]:
    """scikit-learn's: |w|^2 / 2 + c * sum of cross-entropies; and its gradient. theta is [w; b]
    [D+1,N], flat.
    """
    theta = theta.reshape(z.shape[1] + 1, -1)
    x, target = np.pad(z, ((0, 0), (0, 1)), constant_values=1.0), np.eye(theta.shape[1])[y]
    logits = x @ theta
    penalised = np.concatenate([theta[:-1], np.zeros_like(theta[-1:])])
    value = np.square(penalised).sum() / 2 - c * (target * log_softmax(logits, -1)).sum()
    return value, (penalised + c * x.T @ (softmax(logits, -1) - target)).reshape(-1)


def best(z: np.ndarray, y: np.ndarray, ways: int, c: float) -> np.ndarray:
    options = {"maxiter": 10**5, "maxfun": 10**5, "ftol": 1e-16, "gtol": 1e-9}
    start = np.zeros((z.shape[1] + 1) * ways)
    return minimize(
        objective, start, (z, y, c), jac=True, method="L-BFGS-B", options=options
    ).x.reshape(-1, ways)


def fit(head: Head, z: np.ndarray, y: np.ndarray, ways: int) -> np.ndarray:
    fitted = quick_jit(head.fit, static_argnums=3)(None, jnp.asarray(z), jnp.asarray(y), ways)
    return np.concatenate([fitted["w"], fitted["b"][None]])


# Fewer and more features than images, one image a class, two classes, many.
@pytest.mark.parametrize(
    ("ways", "shots", "size", "c"),
    [
        (2, 1, 5, 1.0),
        (5, 1, 16, 0.1),
        (5, 1, 16, 10.0),
        (5, 3, 4, 1.0),
        (20, 1, 4, 1.0),
        (5, 25, 32, 1.0),
    ],
)
def test_logistic_regression_agrees_with_a_reference_minimiser(
    ways: int, shots: int, size: int, c: float, float64: None
) -> None:
    z, y = features(ways, shots, size)
    expected = best(unit_rows(z), y, ways, c)
    np.testing.assert_allclose(fit(logistic_regression(c), z, y, ways), expected, atol=2e-5)
    found = fit(logistic_regression(c), z.astype(np.float32), y, ways)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize(("scale", "c"), [(1.0, 1.0), (100.0, 10.0), (1.0, 1e4)])
@pytest.mark.parametrize("size", [3, 40])
def test_logistic_regression_converges_on_long_features(
    size: int, scale: float, c: float, float64: None
) -> None:
    """Its gradient vanishes, in relation to its terms; Newton's steps taken whole would give NaN in
    float32.
    """
    z, y = features(4, 4, size)
    z *= scale
    for dtype, tolerance in ((np.float64, 1e-6), (np.float32, 3e-3)):
        theta = fit(logistic_regression(c, normalise=False, iterations=30), z.astype(dtype), y, 4)
        gradient = objective(theta.astype(np.float64).reshape(-1), z, y, c)[1]
        assert np.abs(gradient).max() < tolerance * max(1.0, c * scale)


def test_logistic_regression_of_many_shots_and_a_repeated_image(float64: None) -> None:
    z, y = features(3, 7, 30)
    z[5:9] = z[4]  # fewer independent rows than images
    np.testing.assert_allclose(
        fit(logistic_regression(), z, y, 3), best(unit_rows(z), y, 3, 1.0), atol=2e-5
    )


def sgd_by_hand(
    key: jax.Array, z: np.ndarray, y: np.ndarray, ways: int, epochs: int, scale: float | None
) -> dict:
    """Chen et al.'s SGD by PyTorch's rules; scale None for the linear classifier.

    The start and the shuffles are the head's own draws.
    """
    draws, key = jax.random.split(key)
    w_key, b_key = jax.random.split(draws)
    bound = 1 / np.sqrt(z.shape[1])
    w = np.asarray(jax.random.uniform(w_key, (z.shape[1], ways)), np.float64) * 2 * bound - bound
    biases = np.asarray(jax.random.uniform(b_key, (ways,)), np.float64) * 2 * bound - bound
    other = biases if scale is None else np.linalg.norm(w, axis=0)
    speed: tuple | None = None
    for epoch_key in jax.random.split(key, epochs):
        order = np.asarray(jax.random.permutation(epoch_key, len(z)))
        for first in range(0, len(z), 4):
            chosen = order[first : min(first + 4, len(z))]
            x, target = z[chosen], np.eye(ways)[y[chosen]]
            if scale is None:
                error = (softmax(x @ w + other, -1) - target) / len(chosen)
                grads = x.T @ error, error.sum(0)
            else:
                x, length = unit_rows(x), np.linalg.norm(w, axis=0)
                cos = x @ w / length
                error = scale * (softmax(scale * other * cos, -1) - target) / len(chosen)
                along = w / length * (error * other * cos).sum(0)
                grads = (x.T @ (error * other) - along) / length, (error * cos).sum(0)
            decayed = grads[0] + 1e-3 * w, grads[1] + 1e-3 * other
            before = decayed if speed is None else speed
            speed = tuple(0.9 * v + 0.1 * g for v, g in zip(before, decayed, strict=True))
            w, other = w - 0.01 * speed[0], other - 0.01 * speed[1]
    return {"w": w, "b" if scale is None else "g": other}


@pytest.mark.parametrize("kind", ["linear", "cosine"])
@pytest.mark.parametrize("each", [1, 3])
def test_sgd_classifier_makes_the_steps_of_the_released_code(
    kind: str, each: int, float64: None
) -> None:
    z, y = features(3, each, 6)  # fewer images than a batch, and 9: the last one alone
    key = jax.random.key(4)
    found = quick_jit(sgd_classifier(kind, epochs=5, scale=3.0).fit, static_argnums=3)(key, z, y, 3)
    expected = sgd_by_hand(key, z, y, 3, epochs=5, scale=3.0 if kind == "cosine" else None)
    assert found.keys() == expected.keys()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found, expected)
    start = sgd_by_hand(key, z, y, 3, epochs=0, scale=3.0 if kind == "cosine" else None)
    assert np.abs(found["w"] - start["w"]).max() > 1e-3


# Two tasks of two images
GOLDEN_Z = np.array([[[1.0, 0.0], [0.0, 1.0]], [[3.0, 4.0], [1.0, 0.0]]], np.float32)
QUERY = np.array([[0.6, 0.8]], np.float32)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (nearest_centroid(), [[-0.8, -0.4], [-16.0, -0.8]]),
        (nearest_centroid("cosine", 10.0), [[6.0, 8.0], [10.0, 6.0]]),
        # by symmetry b = 0 and w = a (z0 - z1) with a = c * sigmoid(-a |z0 - z1|^2): |z0 - z1|^2 is
        # 2, then 0.8
        (logistic_regression(), [[-0.06748, 0.06748], [0.16692, -0.16692]]),
    ],
    ids=["euclidean", "cosine", "logistic regression"],
)
def test_heads_give_fixed_logits_under_jit_and_vmap(head: Head, expected: list) -> None:
    def logits(z: jax.Array) -> jax.Array:
        fitted = head.fit(jax.random.key(0), z, jnp.array([0, 1]), 2)
        return head.predict(fitted, jnp.asarray(QUERY))[0]

    np.testing.assert_allclose(quick_jit(jax.vmap(logits))(GOLDEN_Z), expected, atol=2e-5)
    np.testing.assert_allclose(quick_jit(logits)(GOLDEN_Z[0]), expected[0], atol=2e-5)


def test_unit_of_a_zero_row_has_a_finite_gradient() -> None:
    rows = jnp.array([[0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_allclose(unit(rows), [[0, 0], [0.6, 0.8]], rtol=1e-6)
    assert jnp.isfinite(jax.jacobian(unit)(rows)).all()


@pytest.mark.parametrize("make", [nearest_centroid, sgd_classifier])
def test_heads_refuse_unknown_kinds(make: object) -> None:
    with pytest.raises(UserError, match="cosine"):
        make("taxicab")
