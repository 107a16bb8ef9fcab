"""Attention over the support set, with and without LSTMs, written out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import softmax

from metalearn.learners.matchingnet import attention, full_context
from metalearn.ops.losses import cross_entropy

Z = np.random.default_rng(0).normal(size=(6, 4))
Y = np.array([2, 0, 1, 1, 0, 2])
QUERIES = np.random.default_rng(1).normal(size=(5, 4))


def unit_rows(z: np.ndarray) -> np.ndarray:
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_attention_weights_support_labels_by_cosine_softmax() -> None:
    with jax.enable_x64(True):
        head = attention(scale=3.0)
        logits = head.predict(
            head.fit(None, jnp.asarray(Z), jnp.asarray(Y), 3), jnp.asarray(QUERIES)
        )
        weights = softmax(3.0 * unit_rows(QUERIES) @ unit_rows(Z).T, -1)
        np.testing.assert_allclose(jax.nn.softmax(logits), weights @ np.eye(3)[Y], rtol=1e-10)


def test_attention_gives_finite_logits_for_far_images() -> None:
    head = attention(scale=1000.0)
    z = jnp.array([[1.0, 0.0], [-1.0, 0.0]])
    value, slope = jax.value_and_grad(
        lambda q: cross_entropy(
            head.predict(head.fit(None, z, jnp.array([0, 1]), 2), q), jnp.array([1])
        )
    )(jnp.array([[1.0, 0.1]]))
    assert value > 1000 and jnp.isfinite(slope).all()


def lstm(
    w: np.ndarray, b: np.ndarray, x: np.ndarray, cell: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    gates = x @ w + b
    write, keep, new, out = (gates[..., i * 4 : (i + 1) * 4] for i in range(4))
    cell = sigmoid(keep + 1) * cell + sigmoid(write) * np.tanh(new)
    return sigmoid(out) * np.tanh(cell), cell


def read(params: dict, rows: list[np.ndarray]) -> list[np.ndarray]:
    h, cell, outputs = np.zeros(4), np.zeros(4), []
    for row in rows:
        h, cell = lstm(params["w"], params["b"], np.concatenate([row, h]), cell)
        outputs.append(h)
    return outputs


def test_full_context_embeddings_follow_the_equations() -> None:
    with jax.enable_x64(True):
        made = full_context(scale=2.0, steps=3)
        params = jax.tree.map(
            lambda p: np.asarray(p, np.float64), made.init(jax.random.key(0), (4,))
        )
        head, key = made.head(params), jax.random.key(5)
        logits = head.predict(
            head.fit(key, jnp.asarray(Z), jnp.asarray(Y), 3), jnp.asarray(QUERIES)
        )
        order = np.asarray(jax.random.permutation(key, 6))
    rows = list(Z[order])
    forward, backward = read(params["forward"], rows), read(params["backward"], rows[::-1])[::-1]
    support = np.stack([row + a + b for row, a, b in zip(rows, forward, backward, strict=True)])
    for query, found in zip(QUERIES, np.asarray(logits), strict=True):
        h, cell = np.zeros(4), np.zeros(4)
        for _ in range(3):
            glimpse = softmax(support @ h) @ support
            out, cell = lstm(
                params["read"]["w"], params["read"]["b"], np.concatenate([query, h, glimpse]), cell
            )
            h = out + query
        weights = softmax(2.0 * unit_rows(support) @ unit_rows(h))
        np.testing.assert_allclose(softmax(found), weights @ np.eye(3)[Y[order]], rtol=1e-6)
