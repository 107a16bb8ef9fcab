"""Classification losses against numpy, and class weights against scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metalearn.errors import UserError
from metalearn.ops.classification import balanced_weights, classification_loss
from metalearn.types import Batch

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 4)).astype(np.float32)
Y = np.array([0, 3, 1, 1, 0, 2])
OTHER = np.array([1, 3, 0, 2, 2, 0])
WEIGHTS = np.array([0.5, 2.0, 1.0, 3.0], np.float32)
KINDS = ("cross_entropy", "squared")


def batch(mixed: bool = False) -> Batch:
    other, share = (jnp.asarray(OTHER), jnp.float32(0.3)) if mixed else (None, None)
    return Batch(jnp.zeros((6, 2, 2, 1)), jnp.asarray(Y), other=other, share=share)


def losses(kind: str, labels: np.ndarray, smoothing: float) -> np.ndarray:
    """Of each image, in float64 and by loops."""
    found = []
    for row, label in zip(LOGITS.astype(float), labels, strict=True):
        target = [(1 - smoothing) * (label == c) + smoothing / 4 for c in range(4)]
        if kind == "squared":
            found.append(sum((row[c] - target[c]) ** 2 for c in range(4)))
        else:
            log_sum = np.log(np.exp(row).sum())
            found.append(sum(target[c] * (log_sum - row[c]) for c in range(4)))
    return np.array(found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("mixed", [False, True])
def test_classification_loss_of_every_kind(
    kind: str, smoothing: float, weighted: bool, mixed: bool
) -> None:
    def mean(labels: np.ndarray) -> float:
        weights = WEIGHTS[labels] if weighted else 1
        return float(np.mean(weights * losses(kind, labels, smoothing)))

    expected = 0.3 * mean(Y) + 0.7 * mean(OTHER) if mixed else mean(Y)
    weights = WEIGHTS if weighted else None
    found = classification_loss(LOGITS, batch(mixed), kind, smoothing, weights)
    assert found.shape == () and found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_plain_classification_loss_is_the_mean_cross_entropy() -> None:
    expected = optax.softmax_cross_entropy_with_integer_labels(LOGITS, Y).mean()
    np.testing.assert_allclose(classification_loss(LOGITS, batch()), expected, rtol=1e-6)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_mixed_loss_ends_at_that_of_either_label(share: float) -> None:
    mixed = batch(mixed=True)._replace(share=jnp.float32(share))
    alone = batch()._replace(y=jnp.asarray(Y if share else OTHER))
    found = classification_loss(LOGITS, mixed, smoothing=0.1, weights=WEIGHTS)
    expected = classification_loss(LOGITS, alone, smoothing=0.1, weights=WEIGHTS)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_mixed_cross_entropy_is_that_of_the_mixed_targets() -> None:
    """Zhang et al. 2018 mix one-hot labels; the cross-entropy is linear in these."""
    targets = 0.3 * np.eye(4)[Y] + 0.7 * np.eye(4)[OTHER]
    expected = optax.softmax_cross_entropy(LOGITS, targets).mean()
    np.testing.assert_allclose(classification_loss(LOGITS, batch(mixed=True)), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_classification_loss_has_its_gradient_under_jit(kind: str) -> None:
    """Of the cross-entropy (p - target) / B, of squares 2 (logits - target) / B."""
    targets = 0.9 * np.eye(4)[Y] + 0.1 / 4
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    expected = {"cross_entropy": (p - targets) / 6, "squared": 2 * (LOGITS - targets) / 6}[kind]
    gradient = jax.jit(jax.grad(lambda z: classification_loss(z, batch(), kind, 0.1)))
    np.testing.assert_allclose(gradient(LOGITS), expected, rtol=1e-4, atol=1e-6)


def test_unknown_loss_is_refused() -> None:
    with pytest.raises(UserError, match="unknown loss 'hinge': choose cross_entropy or squared"):
        classification_loss(LOGITS, batch(), "hinge")


@pytest.mark.parametrize("counts", [[3, 1, 7], [5, 5], [1000, 1, 20, 4]])
def test_balanced_weights_are_those_of_scikit_learn(counts: list[int]) -> None:
    weights = pytest.importorskip("sklearn.utils.class_weight")
    labels = np.repeat(np.arange(len(counts)), counts)
    expected = weights.compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    found = balanced_weights(np.array(counts))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_balanced_weights_make_classes_count_alike() -> None:
    """Each class with images has the same sum of weights, M / C; one without has none."""
    counts = np.array([4, 0, 1, 15])
    np.testing.assert_allclose(balanced_weights(counts) * counts, [5, 0, 5, 5], rtol=1e-6)
