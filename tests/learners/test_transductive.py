"""Transductive heads against loops in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import approx_fprime
from scipy.special import log_softmax, softmax

from metalearn.learners.transductive import information_maximization, laplacian_shot

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


def test_laplacian_shot() -> None:
    with jax.enable_x64(True):
        head = laplacian_shot(strength=0.7, neighbours=2, iterations=50)
        fitted = head.fit(None, jnp.asarray(Z), jnp.asarray(Y), 3)
        found = jax.nn.softmax(head.predict(fitted, jnp.asarray(QUERIES)))
        alone = jax.nn.softmax(head.predict(fitted, jnp.asarray(QUERIES[:1])))
    q = unit_rows(QUERIES)
    unary = squared(q, means())
    near = [[p for p in np.argsort(squared(q, q)[i]) if p != i][:2] for i in range(9)]
    y = softmax(-unary, -1)
    for _ in range(50):
        y = softmax([-unary[i] + 0.7 * (y[near[i][0]] + y[near[i][1]]) for i in range(9)], -1)
    np.testing.assert_allclose(found, y, rtol=1e-8)
    np.testing.assert_allclose(alone, softmax(-unary[:1], -1), rtol=1e-8)  # no neighbours: the nearest centroid


def tim_objective(flat: np.ndarray) -> float:
    def log_p(z: np.ndarray) -> np.ndarray:
        return log_softmax(-7.5 * squared(unit_rows(z), flat.reshape(3, 4)), -1)

    fit = -log_p(Z)[np.arange(6), Y].mean()
    p = np.exp(log_p(QUERIES))
    balance = -(p.mean(0) * np.log(p.mean(0))).sum()
    certain = -(p * np.log(p)).sum(-1).mean()
    return 0.1 * fit - balance + 0.3 * certain


def test_information_maximization() -> None:
    """Ten steps of Adam on the objective's differences."""
    with jax.enable_x64(True):
        head = information_maximization(conditional=0.3, lr=0.01, iterations=10)
        found = head.predict(head.fit(None, jnp.asarray(Z), jnp.asarray(Y), 3), jnp.asarray(QUERIES))
    w, m, v = means().reshape(-1), np.zeros(12), np.zeros(12)
    before = tim_objective(w)
    for t in range(1, 11):
        slope = approx_fprime(w, tim_objective, 1e-7)
        m, v = 0.9 * m + 0.1 * slope, 0.999 * v + 0.001 * slope**2
        w = w - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    assert tim_objective(w) < before - 1e-3
    np.testing.assert_allclose(found, -7.5 * squared(unit_rows(QUERIES), w.reshape(3, 4)), rtol=1e-4)
