"""Fine-tuning of all weights: where it begins, one step of Adam by differences, and what
transduction adds.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metalearn.learners.finetune import finetuned, mean_entropy
from metalearn.learners.heads import nearest_centroid
from metalearn.learners.pretrained import pretrained
from metalearn.ops.losses import cross_entropy
from metalearn.types import Array, Learner, PyTree
from tests.small import SIDE, easy_task, quick_jit, tiny_network

WAYS, CLASSES = 3, 6
TASK = easy_task(jax.random.key(0), WAYS, 2, 2, noise=1.0)


@pytest.fixture(scope="module")
def meta() -> Iterator[PyTree]:
    yield quick_jit(learner(0).init)(jax.random.key(1), jnp.zeros((1, SIDE, SIDE, 1)))


def learner(steps: int, transductive: bool = False, lr: float = 0.01) -> Learner:
    network = tiny_network("none")
    base = pretrained(network, nearest_centroid(), WAYS, CLASSES, norm="none")
    return finetuned(base, network, WAYS, lr, steps, transductive, norm="none")


def logits(made: Learner, meta: PyTree) -> Array:
    def run(meta: PyTree) -> Array:
        adapted = made.adapt(jax.random.key(2), meta, TASK.support_x, TASK.support_y)
        return made.predict(meta, adapted, TASK.query_x)

    return quick_jit(run)(meta)


def rectified(weights: PyTree, x: Array) -> Array:
    z = tiny_network("none").apply(weights["body"], x)
    return jnp.maximum(z @ weights["classifier"]["w"] + weights["classifier"]["b"], 0)


def scaled(weights: PyTree, x: Array) -> Array:
    z = rectified(weights, x)
    return z / jnp.linalg.norm(z, axis=-1, keepdims=True)


def first_layer(meta: PyTree) -> np.ndarray:
    z = np.asarray(rectified(meta, TASK.support_x))
    means = np.stack([z[np.asarray(TASK.support_y) == n].mean(0) for n in range(WAYS)])
    return (means / np.linalg.norm(means, axis=-1, keepdims=True)).T


@pytest.mark.parametrize("transductive", [False, True])
def test_finetune_without_steps_is_the_support_based_initialization(
    meta: PyTree, transductive: bool
) -> None:
    expected = np.asarray(scaled(meta, TASK.query_x)) @ first_layer(meta)
    np.testing.assert_allclose(
        logits(learner(0, transductive), meta), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("transductive", [False, True])
def test_finetune_makes_adams_steps_on_all_weights(meta: PyTree, transductive: bool) -> None:
    """Three of them, or three pairs, on the losses written out here."""
    weights = {k: meta[k] for k in ("body", "classifier")}
    weights["head"] = {"w": jnp.asarray(first_layer(meta)), "b": jnp.zeros(WAYS)}
    optimizer = optax.adam(0.01)

    def out(weights: PyTree, x: Array) -> Array:
        return scaled(weights, x) @ weights["head"]["w"] + weights["head"]["b"]

    def error(weights: PyTree) -> Array:
        return cross_entropy(out(weights, TASK.support_x), TASK.support_y)

    def entropy(weights: PyTree) -> Array:
        p = jax.nn.softmax(out(weights, TASK.query_x))
        return -(p * jnp.log(p)).sum(-1).mean()

    @quick_jit
    def step(weights: PyTree, state: PyTree) -> tuple[PyTree, PyTree]:
        for loss in (error, entropy) if transductive else (error,):
            updates, state = optimizer.update(jax.grad(loss)(weights), state)
            weights = optax.apply_updates(weights, updates)
        return weights, state

    state, begin = optimizer.init(weights), weights
    for _ in range(3):
        weights, state = step(weights, state)
    assert all(
        jax.tree.leaves(
            jax.tree.map(lambda a, b: bool((a != b).any()), weights["head"], begin["head"])
        )
    )
    expected = out(weights, TASK.query_x)
    np.testing.assert_allclose(
        logits(learner(3, transductive), meta), expected, rtol=1e-3, atol=1e-4
    )


def test_transductive_finetune_makes_queries_more_certain(meta: PyTree) -> None:
    entropies = [
        float(mean_entropy(logits(learner(20, transductive), meta)))
        for transductive in (False, True)
    ]
    assert entropies[1] < entropies[0]


def test_mean_entropy_is_that_of_the_formula() -> None:
    np.testing.assert_allclose(
        mean_entropy(jnp.array([[0.0, 0.0], [50.0, 0.0]])), np.log(2) / 2, rtol=1e-6
    )
