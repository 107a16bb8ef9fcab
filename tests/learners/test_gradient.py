"""MAML's relatives against closed forms, identities and finite differences, in float64."""

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from metalearn.errors import UserError
from metalearn.learners.adapted import prototype_head
from metalearn.learners.cavia import cavia, modulate, modulated_layer
from metalearn.learners.heads import nearest_centroid
from metalearn.learners.imaml import imaml, proximal
from metalearn.learners.maml import maml
from metalearn.learners.mamlpp import loss_weights, mamlpp
from metalearn.learners.reptile import memory, minibatches, reptile
from metalearn.models import make_network
from metalearn.models.norms import Norm
from metalearn.types import Array, Key, Learner, Network, PyTree, Task
from tests.small import smooth_network, smooth_start, smooth_task

KEY = jax.random.key(0)
RATE = 0.5


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def close(a: PyTree, b: PyTree, rtol: float = 1e-10) -> None:
    jax.tree.map(partial(np.testing.assert_allclose, rtol=rtol, atol=1e-13), a, b)


def layered_network() -> Network:
    """As `smooth_network`, with the scale and shift of a normalisation layer before the tanh."""

    def apply(
        params: PyTree, x: Array, moments: PyTree | None = None, key: Key | None = None
    ) -> Array:
        y = x.reshape(len(x), -1) @ params["dense"]
        return jnp.tanh(y * params["norm0"]["scale"] + params["norm0"]["shift"])

    def init(key: Key, x: Array) -> PyTree:
        return {
            "dense": jax.random.normal(key, (4, 3)),
            "norm0": {"scale": jnp.ones(3), "shift": jnp.zeros(3)},
        }

    return Network(init, apply, moments=lambda params, x: {})


def loss_of(learner: Learner, task: Task, step: int = 0) -> Callable[[PyTree], Array]:
    return jax.jit(lambda meta: learner.loss(KEY, meta, task, step)[0])


def logits_of(learner: Learner, meta: PyTree, task: Task) -> Array:
    adapted = jax.jit(learner.adapt)(KEY, meta, task.support_x, task.support_y)
    return learner.predict(meta, adapted, task.query_x)


SECOND_ORDER = {
    "meta_sgd": lambda: maml(layered_network(), 2, RATE, 2, norm="none", learned_rates=True),
    "proto_maml": lambda: maml(layered_network(), 2, RATE, 2, norm="none", head="prototypes"),
    "unicorn_maml": lambda: maml(layered_network(), 2, RATE, 2, norm="none", head="shared"),
    "maml++": lambda: mamlpp(layered_network(), 2, RATE, 3, multi_step=8, norm="none"),
    "cavia": lambda: cavia(layered_network(), 2, RATE, 2, context=4, norm="none"),
    "imaml": lambda: imaml(
        layered_network(),
        2,
        0.2,
        300,
        strength=2.0,
        cg_steps=30,
        damping=0,
        norm="none",
        proximal_every_step=True,
    ),
}


@pytest.mark.parametrize("method", SECOND_ORDER)
def test_meta_gradients_are_those_of_finite_differences(method: str) -> None:
    """For iMAML because its inner loop has converged: the implicit gradient is then the true one."""
    learner = SECOND_ORDER[method]()
    loss = loss_of(learner, smooth_task(), step=2)
    check_grads(loss, (smooth_start(learner),), order=1, modes=["rev"], atol=1e-6, rtol=1e-6)


def test_meta_sgd_with_equal_rates_is_maml() -> None:
    task = smooth_task()
    one, many = maml(layered_network(), 2, RATE, 2, norm="none"), SECOND_ORDER["meta_sgd"]()
    meta = smooth_start(one)
    rates = jax.tree.map(lambda p: jnp.full(p.shape, RATE), meta)
    close(logits_of(many, meta | {"rates": rates}, task), logits_of(one, meta, task))
    begun = many.init(KEY, jnp.zeros((1, 2, 2, 1)))["rates"]
    assert jax.tree.structure(begun) == jax.tree.structure(meta)
    assert all((leaf == RATE).all() for leaf in jax.tree.leaves(begun))


def test_meta_sgd_gradient_in_the_rates_of_one_step() -> None:
    """d query_loss(w - a g) / da = - g * query_loss'(w - a g), one for every weight."""
    task, network = smooth_task(), layered_network()
    learner, still = (
        maml(network, 2, RATE, 1, norm="none", learned_rates=True),
        maml(network, 2, RATE, 0, norm="none"),
    )
    meta = smooth_start(learner)
    start = {k: meta[k] for k in ("body", "head")}
    g = jax.grad(loss_of(still, task._replace(query_x=task.support_x, query_y=task.support_y)))(
        start
    )
    moved = jax.tree.map(lambda w, a, g: w - a * g, start, meta["rates"], g)
    expected = jax.tree.map(lambda g, q: -g * q, g, jax.grad(loss_of(still, task))(moved))
    close(jax.grad(loss_of(learner, task))(meta)["rates"], expected)


def test_meta_sgd_at_first_order_is_refused() -> None:
    with pytest.raises(UserError, match="leave --first_order out"):
        maml(layered_network(), 2, first_order=True, learned_rates=True)


def test_proto_maml_without_steps_is_protonet() -> None:
    task, network = smooth_task(), layered_network()
    learner = maml(network, 2, inner_steps=0, norm="none", head="prototypes")
    meta = smooth_start(learner)
    assert meta.keys() == {"body"}
    z, query = (network.apply(meta["body"], x) for x in (task.support_x, task.query_x))
    means = np.stack([np.asarray(z)[np.asarray(task.support_y) == n].mean(0) for n in range(2)])
    distances = np.square(np.asarray(query)[:, None] - means).sum(-1)
    found = jax.nn.log_softmax(logits_of(learner, meta, task))
    close(found, jax.nn.log_softmax(-distances))
    head = nearest_centroid()
    close(found, jax.nn.log_softmax(head.predict(head.fit(KEY, z, task.support_y, 2), query)))


def test_proto_maml_adapts_where_a_class_has_no_image() -> None:
    """So recognisers find out how familiar a class is that they do not know."""
    task = smooth_task()
    learner = maml(layered_network(), 3, head="prototypes", norm="none")
    meta = smooth_start(learner)
    adapted = learner.adapt(KEY, meta, task.support_x, task.support_y)
    assert jnp.isfinite(learner.predict(meta, adapted, task.query_x)).all()


def test_proto_maml_at_first_order_learns_through_the_prototypes() -> None:
    """The query gradient at the adapted weights; what it says of the head goes on to the body that
    made the head.
    """
    task, network = smooth_task(), layered_network()
    learner = maml(network, 2, RATE, 2, first_order=True, norm="none", head="prototypes")
    meta = smooth_start(learner)
    weights, _ = learner.adapt(KEY, meta, task.support_x, task.support_y)
    at_weights = jax.grad(loss_of(maml(network, 2, inner_steps=0, norm="none"), task))(weights)

    def head(body):
        return prototype_head(network.apply(body, task.support_x), task.support_y, 2)

    (through_head,) = jax.vjp(head, meta["body"])[1](at_weights["head"])
    expected = jax.tree.map(jnp.add, at_weights["body"], through_head)
    close(jax.grad(loss_of(learner, task))(meta), {"body": expected})


def test_unicorn_maml_begins_without_preference() -> None:
    """Before adapting all classes are alike; afterwards other names of classes are other names,
    nothing more.
    """
    task = smooth_task()
    before, after = (
        maml(layered_network(), 2, RATE, steps, norm="none", head="shared") for steps in (0, 2)
    )
    meta = smooth_start(after)
    assert meta["vector"].shape == (3,) and meta.keys() == {"body", "vector"}
    logits = logits_of(before, meta, task)
    np.testing.assert_array_equal(logits[:, 0], logits[:, 1])
    named = logits_of(after, meta, task._replace(support_y=1 - task.support_y))
    close(named[:, ::-1], logits_of(after, meta, task))


def test_reptile_moves_to_the_adapted_weights() -> None:
    """Descent of its loss at rate r takes meta to (1 - r) meta + r adapted; at rate 1, all the way."""
    task, learner = smooth_task(), reptile(layered_network(), 2, 0.1, 3, batch=0, norm="none")
    meta = smooth_start(learner)
    adapted = learner.adapt(KEY, meta, task.support_x, task.support_y).weights
    value, grads = jax.value_and_grad(loss_of(learner, task))(meta)
    moved = jax.tree.map(lambda m, g: m - g, meta, grads)
    close({name: moved[name] for name in adapted}, adapted)
    close(
        value,
        sum(((m - a) ** 2).sum() for m, a in zip(*map(jax.tree.leaves, (meta, moved)), strict=True))
        / 2,
    )
    close(moved["memory"]["steps"], meta["memory"]["steps"] + 3)


def test_reptile_adapts_by_adam_without_momentum_on_minibatches() -> None:
    task, learner = smooth_task(), reptile(layered_network(), 2, 0.1, 3, batch=2, norm="none")
    meta = smooth_start(learner)
    weights = {name: meta[name] for name in ("body", "head")}
    second = jax.tree.map(lambda w: w**2, weights)
    meta["memory"] = memory(jnp.float64(7), second)  # of tasks before
    for j, rows in enumerate(np.asarray(minibatches(KEY, 4, 2, 3))):
        part = task._replace(query_x=task.support_x[rows], query_y=task.support_y[rows])
        g = jax.grad(loss_of(maml(layered_network(), 2, inner_steps=0, norm="none"), part))(weights)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, second, g)
        unbiased = jax.tree.map(lambda v, j=j: v / (1 - 0.999 ** (j + 8)), second)
        weights = jax.tree.map(
            lambda w, g, v: w - 0.1 * g / (jnp.sqrt(v) + 1e-8), weights, g, unbiased
        )
    close(learner.adapt(KEY, meta, task.support_x, task.support_y).weights, weights, rtol=1e-7)


def test_reptile_reports_queries_but_learns_nothing_from_them() -> None:
    task, learner = smooth_task(), reptile(layered_network(), 2, 0.1, 2, norm="none")
    meta = smooth_start(learner)
    other = task._replace(query_x=task.query_x + 1, query_y=1 - task.query_y)
    (one, watched), (two, watched_otherwise) = (learner.loss(KEY, meta, t) for t in (task, other))
    assert one == two and watched["loss"] != watched_otherwise["loss"]
    close(*(jax.grad(loss_of(learner, t))(meta) for t in (task, other)))


def test_reptile_minibatches_are_shuffles_cut_into_pieces() -> None:
    rows = np.asarray(minibatches(KEY, 6, 4, 6))
    assert rows.shape == (6, 4)
    for shuffle in rows.reshape(4, 6):
        assert sorted(shuffle) == list(range(6))
    assert len({tuple(shuffle) for shuffle in rows.reshape(4, 6)}) > 1
    for batch in (0, 6, 10):
        np.testing.assert_array_equal(minibatches(KEY, 6, batch, 3), np.tile(np.arange(6), (3, 1)))
    assert minibatches(KEY, 6, 4, 0).shape == (0, 4)


def test_imaml_proximal_solution_and_derivative_of_a_regression() -> None:
    """|x w - y|^2 / 2S + strength/2 |w - start|^2 is least at (h + strength)^-1 (r + strength
    start).
    """
    rng = np.random.default_rng(0)
    x, y, start = rng.normal(size=(8, 4)), rng.normal(size=8), rng.normal(size=4)
    h, r, strength = x.T @ x / 8, x.T @ y / 8, 0.7
    inverse = np.linalg.inv(h + strength * np.eye(4))

    def loss(w):
        return jnp.square(x @ w - y).mean() / 2

    def solve(s):
        return proximal(loss, s, strength, optax.sgd(0.3), 200, 10)

    close(solve(start), inverse @ (r + strength * start))
    close(jax.jacrev(solve)(start), strength * inverse)

    def short(s):
        return proximal(loss, s, strength, optax.sgd(0.3), 3, 10)

    # However far the steps have come: h is h everywhere
    close(jax.jacrev(short)(start), strength * inverse)
    assert np.abs(short(start) - solve(start)).max() > 1e-3

    def damped(s):
        return proximal(loss, s, strength, optax.sgd(0.3), 200, 10, damping=5.0)

    close(damped(start), solve(start))  # another derivative of the same value
    close(jax.jacrev(damped)(start), 5.7 * np.linalg.inv(h + 5.7 * np.eye(4)))

    def one_step(s):
        return proximal(loss, s, strength, optax.sgd(0.3), 200, 1)

    b = rng.normal(size=4)
    # The first step of conjugate gradients: b by its length along the curvature
    a = h / strength + np.eye(4)
    close(jax.grad(lambda s: b @ one_step(s))(start), b * (b @ b) / (b @ a @ b))


def test_imaml_pulls_to_the_initial_weights() -> None:
    """The stronger the pull, the nearer they stay."""
    task, network = smooth_task(), layered_network()
    far, near = (
        imaml(network, 2, 1e-3, 500, strength=s, norm="none", proximal_every_step=True)
        for s in (1.0, 100.0)
    )
    meta = smooth_start(far)

    def moved(learner: Learner) -> float:
        weights = learner.adapt(KEY, meta, task.support_x, task.support_y).weights
        return float(optax.tree.norm(optax.tree.sub(weights, meta)))

    assert 0 < 10 * moved(near) < moved(far)


def test_imaml_pulls_once_in_training_and_not_at_test() -> None:
    """As released: MAML's steps, then back by rate times strength; the gradient is that at the
    point so reached.
    """
    task, network = smooth_task(), layered_network()
    learner, plain = (
        imaml(network, 2, 0.1, 3, strength=2.0, norm="none"),
        maml(network, 2, 0.1, 3, norm="none"),
    )
    meta = smooth_start(learner)
    weights, reached = (
        x.adapt(KEY, meta, task.support_x, task.support_y).weights for x in (plain, learner)
    )
    close(reached, weights)
    pulled = jax.tree.map(
        lambda w, m: w - 0.2 * (w - m), weights, {name: meta[name] for name in weights}
    )
    still = maml(network, 2, inner_steps=0, norm="none")
    value, grads = jax.value_and_grad(loss_of(still, task))(pulled)
    close(loss_of(learner, task)(meta), value)
    # The system is then the identity
    first_order = imaml(network, 2, 0.1, 3, strength=2.0, damping=1e9, norm="none")
    close(jax.grad(loss_of(first_order, task))(meta), grads, rtol=1e-6)


def test_cavia_adapts_one_layer() -> None:
    task, learner = smooth_task(), SECOND_ORDER["cavia"]()
    meta = smooth_start(learner)
    weights, _ = learner.adapt(KEY, meta, task.support_x, task.support_y)
    same = jax.tree.map(
        lambda a, b: bool((a == b).all()), weights, {k: meta[k] for k in ("body", "head")}
    )
    assert same["head"] == {"w": True, "b": True} and same["body"]["dense"]
    assert same["body"]["norm0"] == {"scale": False, "shift": False}
    plain = maml(layered_network(), 2, inner_steps=0, norm="none")
    still = cavia(layered_network(), 2, inner_steps=0, context=4, norm="none")
    body = modulate(meta["body"], meta["film"], jnp.zeros(4))
    close(
        logits_of(still, meta, task), logits_of(plain, {"body": body, "head": meta["head"]}, task)
    )


@pytest.mark.parametrize(
    ("backbone", "layer"), [("conv4-32", "norm2"), ("resnet12", "block3_conv2_norm")]
)
def test_cavia_modulates_the_last_layer_but_one(backbone: str, layer: str) -> None:
    body = jax.eval_shape(make_network(backbone).init, KEY, jnp.zeros((1, 32, 32, 3)))
    assert modulated_layer(body) == layer
    with pytest.raises(UserError, match="this backbone has none"):
        modulated_layer({"dense": {"w": jnp.ones((2, 2))}})


def test_cavia_modulation_scales_and_shifts_what_the_layer_gives() -> None:
    y, w = jax.random.normal(KEY, (5, 3, 3, 4)), jax.random.normal(jax.random.key(1), (6, 8))
    film = {"w": w, "b": jnp.linspace(-1.0, 1.0, 8)}
    params = {"scale": jnp.array([1.0, -2.0, 0.5, 3.0]), "shift": jnp.arange(4.0)}
    context = jax.random.normal(jax.random.key(2), (6,))
    gain, offset = np.split(np.asarray(context) @ np.asarray(w) + np.linspace(-1, 1, 8), 2)

    def apply(p):
        return Norm("batch").apply({"params": p}, y)

    close(apply(modulate({"norm0": params}, film, context)["norm0"]), gain * apply(params) + offset)


def test_mamlpp_weights_of_earlier_losses_fall_to_zero() -> None:
    np.testing.assert_allclose(loss_weights(4, 10, 0), 0.25)
    np.testing.assert_allclose(loss_weights(4, 10, 6), [0.1, 0.1, 0.1, 0.7])
    for step in (10, 11, 1000):
        np.testing.assert_array_equal(loss_weights(4, 10, step), [0, 0, 0, 1])


@pytest.mark.parametrize("step", [0, 3, 10])
def test_mamlpp_multi_step_loss_is_that_of_mamls_of_fewer_steps(step: int) -> None:
    """On a network without normalisation layers, and with all rates alike."""
    task, network = smooth_task(), smooth_network()
    learner = mamlpp(network, 2, RATE, 3, multi_step=10, norm="none")
    shorter = [maml(network, 2, RATE, j + 1, norm="none") for j in range(3)]
    start = smooth_start(shorter[0])
    meta = start | {"norms": {}, "rates": jax.tree.map(lambda p: jnp.full(3, RATE), start)}
    shares = loss_weights(3, 10, step)
    values = [jax.value_and_grad(loss_of(s, task))(start) for s in shorter]
    value, grads = jax.value_and_grad(loss_of(learner, task, step))(meta)
    close(value, sum(w * v for w, (v, _) in zip(shares, values, strict=True)))
    expected = jax.tree.map(
        lambda *g: sum(w * x for w, x in zip(shares, g, strict=True)), *(g for _, g in values)
    )
    close({k: grads[k] for k in start}, expected)


@pytest.mark.parametrize(("step", "first_order"), [(0, True), (4, True), (5, False)])
def test_mamlpp_order_of_derivatives_changes_while_training(step: int, first_order: bool) -> None:
    task, network = smooth_task(), smooth_network()
    learner = mamlpp(network, 2, RATE, 3, first_order_steps=5, norm="none")
    reference = maml(network, 2, RATE, 3, first_order, norm="none")
    start = smooth_start(reference)
    meta = start | {"norms": {}, "rates": jax.tree.map(lambda p: jnp.full(3, RATE), start)}
    grads = jax.jit(jax.grad(lambda m, s: learner.loss(KEY, m, task, s)[0]))(meta, step)
    close({k: grads[k] for k in start}, jax.grad(loss_of(reference, task))(start))
    assert all(jnp.abs(g).min() > 0 for g in jax.tree.leaves(grads["rates"]))


def test_mamlpp_inner_steps_have_rates_scales_and_shifts_of_their_own() -> None:
    """Steps by hand; a fourth, which was not trained, is made as the third."""
    task, network = smooth_task(), layered_network()
    none, trained, longer = (mamlpp(network, 2, RATE, steps, norm="none") for steps in (0, 3, 4))
    meta = smooth_start(trained)
    keys = iter(jax.random.split(jax.random.key(3), 10))

    def varied(p):
        return p + 0.1 * jax.random.normal(next(keys), p.shape, p.dtype)

    meta |= {k: jax.tree.map(varied, meta[k]) for k in ("norms", "rates")}
    assert meta["norms"]["norm0"]["scale"].shape == (3, 3) and meta["rates"]["body"][
        "dense"
    ].shape == (3,)

    def whole(fast: PyTree, j: int) -> PyTree:
        return {
            "body": fast["body"] | jax.tree.map(lambda p: p[j], meta["norms"]),
            "head": fast["head"],
        }

    @jax.jit
    def support_gradient(fast: PyTree, j: int) -> PyTree:
        plain = maml(network, 2, inner_steps=0, norm="none")
        support = task._replace(query_x=task.support_x, query_y=task.support_y)
        return jax.grad(lambda fast: plain.loss(KEY, whole(fast, j), support)[0])(fast)

    fast = {"body": meta["body"], "head": meta["head"]}
    expected = [whole(fast, 0)]
    for j in (0, 1, 2, 2):
        rates = jax.tree.map(lambda p, j=j: p[j], meta["rates"])
        fast = jax.tree.map(lambda p, g, rate: p - rate * g, fast, support_gradient(fast, j), rates)
        expected.append(whole(fast, j))
    for learner, steps in ((none, 0), (trained, 3), (longer, 4)):
        close(learner.adapt(KEY, meta, task.support_x, task.support_y).weights, expected[steps])


@pytest.mark.parametrize("make", [mamlpp, cavia])
def test_normalisation_layers_in_stages_are_refused(make: Callable[..., Learner]) -> None:
    layer = {"scale": jnp.ones(2), "shift": jnp.zeros(2)}
    staged = Network(
        init=lambda key, x: {"stem": {"conv": {"norm": layer}}},
        apply=lambda params, x, moments=None, key=None: x.reshape(len(x), -1),
        moments=lambda params, x: {},
    )
    with pytest.raises(UserError, match="a body of stages"):
        make(staged, 2).init(jax.random.key(0), jnp.zeros((1, 2, 2, 1)))


@pytest.mark.parametrize("make", [maml, mamlpp, cavia, imaml, reptile])
def test_heads_begin_as_asked_for(make: Callable[..., Learner]) -> None:
    network = make_network("conv2-8", "batch")
    for initial, random in (("default", False), ("torch", True)):
        meta = make(network, 3, initial=initial).init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
        assert bool(jnp.abs(meta["head"]["b"]).max() > 0) == random
