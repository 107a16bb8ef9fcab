"""Transductive heads against loops in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import log_softmax, softmax

from metalearn.learners.pretrained import Settings
from metalearn.learners.registry import METHODS
from metalearn.learners.transductive import (
    FEW,
    MORE,
    information_maximization,
    laplacian_shot,
    rectified,
)
from metalearn.types import Network

RNG = np.random.default_rng(0)
Y = np.array([0, 1, 2, 2, 0, 1])
MEANS = RNG.normal(size=(3, 4))
Z = MEANS[Y] + 0.5 * RNG.normal(size=(6, 4))
QUERIES = MEANS[np.arange(9) % 3] + RNG.normal(size=(9, 4))


def unit_rows(z: np.ndarray) -> np.ndarray:
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


def means() -> np.ndarray:
    return np.stack([unit_rows(Z)[Y == n].mean(0) for n in range(3)])


def squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.square(a[:, None] - b[None]).sum(-1)


def smoothed(q: np.ndarray, prototypes: np.ndarray, strength: float) -> np.ndarray:
    unary = squared(q, prototypes)
    near = [[p for p in np.argsort(squared(q, q)[i]) if p != i][:2] for i in range(9)]
    y = softmax(-unary, -1)
    for _ in range(50):
        y = softmax([-unary[i] + strength * (y[near[i][0]] + y[near[i][1]]) for i in range(9)], -1)
    return y


def test_laplacian_shot_follows_its_equations() -> None:
    with jax.enable_x64(True):
        head = laplacian_shot(strength=0.7, iterations=50, rectify=False)
        fitted = head.fit(None, jnp.asarray(Z), jnp.asarray(Y), 3)
        found = jax.nn.softmax(head.predict(fitted, jnp.asarray(QUERIES)))
        alone = jax.nn.softmax(head.predict(fitted, jnp.asarray(QUERIES[:1])))
    q = unit_rows(QUERIES)
    np.testing.assert_allclose(found, smoothed(q, means(), 0.7), rtol=1e-8)
    # None near: nearest centroid
    np.testing.assert_allclose(alone, softmax(-squared(q[:1], means()), -1), rtol=1e-8)


def features_alone() -> Network:
    """A body that takes images for their features."""
    return Network(lambda key, x: {}, lambda params, x, moments=None, key=None: x, lambda p, x: {})


@pytest.mark.parametrize(("shots", "strength"), [(1, FEW), (2, FEW), (3, MORE), (5, MORE)])
def test_laplacian_shot_chooses_its_strength_by_shots_and_not_by_rows(
    shots: int, strength: float
) -> None:
    settings = Settings(ways=3, shots=shots)
    learner = METHODS["laplacianshot"].build(settings, features_alone(), 8, "none")
    key = jax.random.key(0)
    heads = (learner.head({}), laplacian_shot(strength))
    found, wanted = [h.predict(h.fit(key, Z, Y, 3), QUERIES) for h in heads]
    np.testing.assert_array_equal(found, wanted)
    other = laplacian_shot(FEW + MORE - strength)
    assert np.abs(found - other.predict(other.fit(key, Z, Y, 3), QUERIES)).max() > 1e-3


@pytest.mark.parametrize(("shots", "strength"), [(1, FEW), (2, FEW), (4, MORE)])
def test_laplacian_shot_moves_queries_and_rectifies_prototypes(shots: int, strength: float) -> None:
    y = np.tile(np.arange(3), shots)
    z = MEANS[y] + 0.5 * np.random.default_rng(shots).normal(size=(len(y), 4))
    with jax.enable_x64(True):
        head = laplacian_shot(strength, iterations=50)
        found = jax.nn.softmax(
            head.predict(head.fit(None, jnp.asarray(z), jnp.asarray(y), 3), jnp.asarray(QUERIES))
        )
    support, q = unit_rows(z), unit_rows(QUERIES)
    q = q + support.mean(0) - q.mean(0)
    first = np.stack([support[y == n].mean(0) for n in range(3)])
    images = np.concatenate([support, q])
    near = unit_rows(images) @ unit_rows(first).T
    prototypes = first.copy()
    for n in set(near.argmax(1)):
        prototypes[n] = np.mean(
            [softmax(10 * near[i])[n] * images[i] for i in np.where(near.argmax(1) == n)[0]], 0
        )
    assert np.abs(prototypes - first).max() > 0.05
    np.testing.assert_allclose(found, smoothed(q, prototypes, strength), rtol=1e-8)


def test_laplacian_shot_keeps_a_prototype_that_no_image_is_near_to() -> None:
    first = jnp.eye(3)
    found = rectified(first, jnp.array([[2.0, 1.0, 0.0], [0.0, 1.0, 0.0]]))
    weights = softmax(10 * np.array([[2, 1, 0] / np.sqrt(5), [0, 1, 0]]), -1)
    np.testing.assert_allclose(
        found, [weights[0, 0] * np.array([2, 1, 0]), [0, weights[1, 1], 0], [0, 0, 1]], rtol=1e-5
    )


def tim_objective(flat: np.ndarray) -> float:
    def log_p(z: np.ndarray) -> np.ndarray:
        return log_softmax(-7.5 * squared(unit_rows(z), flat.reshape(3, 4)), -1)

    fit = -log_p(Z)[np.arange(6), Y].mean()
    p = np.exp(log_p(QUERIES))
    balance = -(p.mean(0) * np.log(p.mean(0))).sum()
    certain = -(p * np.log(p)).sum(-1).mean()
    return 0.1 * fit - balance + 0.3 * certain


def test_information_maximization_descends_its_objective() -> None:
    """Ten steps of Adam on the objective's differences."""
    with jax.enable_x64(True):
        head = information_maximization(conditional=0.3, lr=0.01, iterations=10)
        found = head.predict(
            head.fit(None, jnp.asarray(Z), jnp.asarray(Y), 3), jnp.asarray(QUERIES)
        )
    w, m, v = means().reshape(-1), np.zeros(12), np.zeros(12)
    before = tim_objective(w)
    for t in range(1, 11):
        slope = approx_fprime(w, tim_objective, 1e-7)
        m, v = 0.9 * m + 0.1 * slope, 0.999 * v + 0.001 * slope**2
        w = w - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    assert tim_objective(w) < before - 1e-3
    np.testing.assert_allclose(
        found, -7.5 * squared(unit_rows(QUERIES), w.reshape(3, 4)), rtol=1e-4
    )
