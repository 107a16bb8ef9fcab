"""Losses, distances and last layers against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.ops.classifier import classify, init_classifier
from metalearn.ops.losses import (
    accuracy,
    cosine,
    cross_entropy,
    divergence,
    smoothed_cross_entropy,
    squared_euclidean,
    unit,
)

A = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
B = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)


def test_cross_entropy_is_the_mean_negative_log_likelihood() -> None:
    labels = np.array([0, 2, 1, 1, 0])
    p = np.exp(A) / np.exp(A).sum(-1, keepdims=True)
    np.testing.assert_allclose(
        cross_entropy(A, labels), -np.log(p[np.arange(5), labels]).mean(), rtol=1e-6
    )
    assert cross_entropy(jnp.array([[1e4, -1e4]]), jnp.array([1])) == 2e4  # finite however wrong


def test_label_smoothing_is_shared_by_the_other_classes() -> None:
    labels = np.array([0, 2, 1, 1, 0])
    log_p = np.log(np.exp(A) / np.exp(A).sum(-1, keepdims=True))
    own = log_p[np.arange(5), labels]
    expected = -(0.9 * own + 0.05 * (log_p.sum(-1) - own)).mean()
    np.testing.assert_allclose(smoothed_cross_entropy(A, labels, 0.1), expected, rtol=1e-6)
    np.testing.assert_allclose(smoothed_cross_entropy(A, labels, 0.0), -own.mean(), rtol=1e-6)


def test_distillation_divergence_and_its_temperature() -> None:
    """Zero where the two agree; its gradient is T (p_student - p_teacher) at temperature T, over
    the rows.
    """
    teacher = np.roll(A, 1, axis=0)
    p, q = (np.exp(z / 3) / np.exp(z / 3).sum(-1, keepdims=True) for z in (teacher, A))
    np.testing.assert_allclose(
        divergence(A, teacher, 3.0), 9 * (p * np.log(p / q)).sum(-1).mean(), rtol=1e-5
    )
    np.testing.assert_allclose(
        jax.grad(divergence)(A, teacher, 3.0), 3 * (q - p) / 5, rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(divergence(A, A + 7), 0, atol=1e-6)


def test_accuracy_is_the_fraction_of_correct_predictions() -> None:
    assert accuracy(jnp.eye(4), jnp.array([0, 1, 2, 0])) == 0.75


def test_pairwise_distances_and_similarities() -> None:
    np.testing.assert_allclose(
        squared_euclidean(A, B), np.square(A[:, None] - B).sum(-1), rtol=1e-5, atol=1e-6
    )
    lengths = np.linalg.norm(A, axis=1)[:, None] * np.linalg.norm(B, axis=1)
    np.testing.assert_allclose(cosine(A, B), A @ B.T / lengths, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(unit(A), axis=-1), 1, rtol=1e-6)


def test_linear_and_cosine_classifier_logits() -> None:
    w = B.T
    np.testing.assert_allclose(
        classify("linear", {"w": w, "b": np.arange(4.0)}, A), A @ w + np.arange(4), rtol=1e-5
    )
    g = jnp.array([1.0, 2.0, 3.0, 4.0])
    expected = 10 * np.asarray(g) * np.asarray(cosine(A, B))
    np.testing.assert_allclose(
        classify("cosine", {"w": w, "g": g}, A, 10.0), expected, rtol=1e-5, atol=1e-5
    )
    longer = classify("cosine", {"w": 7 * w, "g": g}, 3 * A, 10.0)
    np.testing.assert_allclose(longer, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "rest"), [("linear", "b"), ("cosine", "g")])
def test_initial_classifier_variance(kind: str, rest: str) -> None:
    params = init_classifier(jax.random.key(0), kind, 400, 5)
    assert params["w"].shape == (400, 5) and params[rest].shape == (5,)
    assert abs(params["w"].std() * 20 - 1) < 0.1
