"""The inner loop against closed forms, in float64 so that nothing hides in rounding."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from metalearn.learners.maml import maml
from metalearn.ops.inner_loop import UNROLLED, descend
from metalearn.ops.losses import cross_entropy
from metalearn.types import Array, PyTree
from tests.small import operations, smooth_network, smooth_task
from tests.small import smooth_start as start

STEPS, RATE = 3, 0.1


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


class Regression:
    """Linear regression: loss |x w - y|^2 / 2S, whose gradient is h w - r."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        x, y, self.query_x, self.query_y = (rng.normal(size=s) for s in ((8, 4), 8, (6, 4), 6))
        self.h, self.r, self.w = x.T @ x / 8, x.T @ y / 8, rng.normal(size=4)
        self.loss = lambda w: jnp.square(x @ w - y).mean() / 2

    def query_loss(self, w: Array) -> Array:
        return jnp.square(self.query_x @ w - self.query_y).mean() / 2

    def query_gradient(self, w: np.ndarray) -> np.ndarray:
        return self.query_x.T @ (self.query_x @ w - self.query_y) / 6


def plain_descend(
    loss: Callable, params: PyTree, optimizer: optax.GradientTransformation, steps: int
) -> PyTree:
    """What `descend` computes at second order, as an unrolled loop without rematerialisation."""
    state = optimizer.init(params)
    for _ in range(steps):
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize("steps", [0, 1, STEPS])
def test_inner_loop_meta_gradient_of_linear_regression(steps: int) -> None:
    task = Regression()
    turn = np.linalg.matrix_power(np.eye(4) - RATE * task.h, steps)
    best = np.linalg.solve(task.h, task.r)

    def adapt(w):
        return descend(task.loss, w, optax.sgd(RATE), steps)

    expected = best + turn @ (task.w - best)
    np.testing.assert_allclose(adapt(task.w), expected, rtol=1e-12)
    np.testing.assert_allclose(jax.jacobian(adapt)(task.w), turn, atol=1e-14)
    meta_gradient = jax.grad(lambda w: task.query_loss(adapt(w)))(task.w)
    np.testing.assert_allclose(meta_gradient, turn.T @ task.query_gradient(expected), atol=1e-13)


def test_inner_loop_without_steps_is_the_identity() -> None:
    task = Regression()
    for first_order in (False, True):
        adapted = descend(task.loss, task.w, optax.sgd(RATE), 0, first_order)
        np.testing.assert_array_equal(adapted, task.w)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.sgd(RATE),
        optax.chain(optax.add_decayed_weights(0.3), optax.sgd(RATE)),
        optax.adamw(RATE, eps_root=1e-8),
    ],
    ids=["sgd", "sgd with decay", "adamw"],
)
def test_first_order_gradient_passes_straight_through(
    optimizer: optax.GradientTransformation,
) -> None:
    """The adapted value of second order, the gradient taken there and passed on as it is, whatever
    the optimiser.
    """
    task = Regression()

    def adapt(w):
        return descend(task.loss, w, optimizer, STEPS, first_order=True)

    adapted = plain_descend(task.loss, task.w, optimizer, STEPS)
    np.testing.assert_allclose(adapt(task.w), adapted, rtol=1e-12)
    gradient = jax.grad(lambda w: task.query_loss(adapt(w)))(task.w)
    np.testing.assert_allclose(gradient, task.query_gradient(np.asarray(adapted)), rtol=1e-12)


@pytest.mark.parametrize(
    "optimizer", [optax.sgd(RATE), optax.adam(RATE, eps_root=1e-8)], ids=["sgd", "adam"]
)
def test_rematerialised_steps_have_the_same_gradient(
    optimizer: optax.GradientTransformation,
) -> None:
    x, y, start = (
        jax.random.normal(jax.random.key(0), (5, 3)),
        jnp.arange(5) % 2,
        jnp.full((3, 2), 0.5),
    )

    def loss(w):
        return cross_entropy(jnp.tanh(x @ w), y)

    def outer(f):
        return jax.grad(lambda w: jnp.sin(f(loss, w, optimizer, STEPS)).sum())(start)

    np.testing.assert_allclose(outer(descend), outer(plain_descend), rtol=1e-10)


@pytest.mark.parametrize("optimizer", [optax.sgd(RATE), optax.adam(RATE, eps_root=1e-8)])
@pytest.mark.parametrize("first_order", [False, True], ids=["second order", "first order"])
def test_unrolled_steps_have_the_same_gradient(
    first_order: bool,
    optimizer: optax.GradientTransformation,
    request: pytest.FixtureRequest,
) -> None:
    x = jax.random.normal(jax.random.key(0), (5, 3))
    y = jnp.arange(5) % 2

    def loss(w: Array) -> Array:
        return cross_entropy(jnp.tanh(x @ w), y)

    def outer(w: Array) -> Array:
        return jnp.sin(descend((loss, loss), w, optimizer, UNROLLED, first_order)).sum()

    start = jnp.full((3, 2), 0.5)
    looped = jax.value_and_grad(outer)(start)
    request.getfixturevalue("accelerated")
    unrolled = jax.value_and_grad(outer)(start)
    for ours, theirs in zip(unrolled, looped, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def loops(steps: int) -> tuple[bool, bool]:
    """Whether the gradient through so many steps turns loops, and whether it computes steps twice."""
    task = Regression()

    def outer(w: Array) -> Array:
        return task.query_loss(descend(task.loss, w, optax.sgd(RATE), steps))

    traced = jax.make_jaxpr(jax.grad(outer))(task.w)
    found = {operation.primitive.name: operation.params for operation in operations(traced.jaxpr)}
    assert found["scan"]["length"] == steps
    looped = found["scan"]["unroll"] == 1 < steps
    return looped, not found.keys().isdisjoint({"remat", "remat2", "checkpoint"})


def test_few_steps_are_unrolled_on_an_accelerator(request: pytest.FixtureRequest) -> None:
    assert loops(2) == loops(UNROLLED) == (True, True)
    request.getfixturevalue("accelerated")
    assert loops(2) == loops(UNROLLED) == (False, False)
    assert loops(UNROLLED + 1) == (True, True)


@pytest.mark.parametrize("adapts", ["all", "head", "body"])
def test_second_order_gradient_agrees_with_finite_differences(adapts: str) -> None:
    learner, task = (
        maml(smooth_network(), 2, inner_lr=0.5, inner_steps=2, adapts=adapts, norm="none"),
        smooth_task(),
    )

    def loss(meta):
        return learner.loss(jax.random.key(0), meta, task)[0]

    check_grads(jax.jit(loss), (start(learner),), order=1, modes=["rev"], atol=1e-7, rtol=1e-7)


def test_fomaml_gradient_is_the_query_gradient_at_the_adapted_weights() -> None:
    learner, task = (
        maml(smooth_network(), 2, inner_lr=0.5, first_order=True, norm="none"),
        smooth_task(),
    )
    meta, key = start(learner), jax.random.key(0)
    weights, _ = learner.adapt(key, meta, task.support_x, task.support_y)
    untouched = maml(smooth_network(), 2, inner_steps=0, norm="none")
    expected = jax.grad(lambda m: untouched.loss(key, m, task)[0])(weights)
    found = jax.grad(lambda m: learner.loss(key, m, task)[0])(meta)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10), found, expected)
    second = maml(smooth_network(), 2, inner_lr=0.5, norm="none")
    full = jax.grad(lambda m: second.loss(key, m, task)[0])(meta)
    assert jnp.abs(full["body"]["w"] - found["body"]["w"]).max() > 1e-3


@pytest.mark.parametrize(("adapts", "kept"), [("head", "body"), ("body", "head")])
def test_parameters_that_do_not_adapt_stay(adapts: str, kept: str) -> None:
    learner, task = (
        maml(smooth_network(), 2, inner_lr=0.5, adapts=adapts, norm="none"),
        smooth_task(),
    )
    meta = start(learner)
    weights, _ = learner.adapt(jax.random.key(0), meta, task.support_x, task.support_y)
    same = jax.tree.map(jnp.array_equal, weights, meta)
    assert all(jax.tree.leaves(same[kept]))
    assert not any(jax.tree.leaves(same[adapts]))


def test_anil_computes_features_once_but_differentiates_through_them() -> None:
    """Against the general form, an optimiser that leaves the body alone."""
    network, task, key = smooth_network(), smooth_task(), jax.random.key(0)
    learner = maml(network, 2, inner_lr=0.5, inner_steps=2, adapts="head", norm="none")
    meta = start(learner)

    def logits(weights: PyTree, x: Array) -> Array:
        return network.apply(weights["body"], x) @ weights["head"]["w"] + weights["head"]["b"]

    def general(meta: PyTree) -> Array:
        masked = optax.partition(
            {"fit": optax.sgd(0.5), "keep": optax.set_to_zero()}, {"body": "keep", "head": "fit"}
        )

        def support(m):
            return cross_entropy(logits(m, task.support_x), task.support_y)

        return cross_entropy(
            logits(plain_descend(support, meta, masked, 2), task.query_x), task.query_y
        )

    expected, found = (
        jax.grad(general)(meta),
        jax.grad(lambda m: learner.loss(key, m, task)[0])(meta),
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10), found, expected)
