"""Methods by name: what fits together, and what is refused with a reason."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.learners.embedding import embedding
from metalearn.learners.heads import nearest_centroid
from metalearn.learners.maml import maml
from metalearn.learners.method import make_method
from metalearn.learners.registry import ADAPTATION, METHODS, STRATEGIES
from metalearn.learners.reptile import memory
from metalearn.ops.optimizers import make_optimizer, schedule
from metalearn.training.parts import tasks_at_once
from metalearn.types import Network
from tests.small import easy_task, quick_jit, tiny_network


def config(**chosen: object) -> Config:
    return dataclasses.replace(Config(), **chosen).with_defaults()


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (dict(method="mamba"), "unknown method 'mamba': choose one of maml, fomaml"),
        (dict(train_ways=20), "--ways=5 must equal the --train_ways=20"),
        (dict(norm="running"), "gradient methods normalise by batch, support"),
        (dict(first_order=True), "--method=fomaml"),
        (dict(method="meta_sgd", first_order=True), "--first_order is not for meta_sgd"),
        (dict(method="protonet", norm="instance"), "embedding methods normalise by"),
        (dict(method="protonet", distance="taxicab"), "distance must be euclidean or cosine"),
        (
            dict(teacher="run"),
            "--teacher is for methods pre-trained on the base classes: baseline, ",
        ),
        (
            dict(method="protonet", rotation=True),
            "--rotation is for methods pre-trained on the base classes: ",
        ),
        (dict(backbone="conv5"), "unknown backbone 'conv5'"),
    ],
)
def test_make_method_refuses_settings_that_do_not_fit(chosen: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_method(config(**chosen), 64)


@pytest.mark.parametrize(
    ("chosen", "norms"),
    [
        (dict(method="maml", norm="batch"), ("batch", "support")),
        (dict(method="anil", norm="support"), ("batch", "support")),
        (dict(method="maml", norm="group"), ("group",)),
        (dict(method="protonet", norm="running"), ("running",)),
        (dict(method="rfs", norm="running"), ("running",)),
    ],
)
def test_methods_name_the_normalisations_they_are_tested_under(
    chosen: dict, norms: tuple[str, ...]
) -> None:
    assert make_method(config(**chosen), 64).norms == norms


@pytest.mark.parametrize(
    ("trained", "tested"),
    [("group", "batch"), ("batch", "group"), ("none", "support"), ("layer", "group")],
)
@pytest.mark.parametrize("method", ["maml", "protonet", "baseline"])
def test_a_network_is_not_tested_under_layers_it_does_not_have(
    method: str, trained: str, tested: str
) -> None:
    """The numbers would be those of the layers it has, under another name."""
    with pytest.raises(UserError, match=f"trained with {trained}"):
        make_method(config(method=method, norm=trained), 64).test(tested)


def test_learners_refuse_unknown_normalisations() -> None:
    with pytest.raises(UserError, match="not 'running'"):
        maml(tiny_network(), 5, norm="running")
    with pytest.raises(UserError, match="not 'instance'"):
        embedding(tiny_network(), nearest_centroid(), 5, norm="instance")


def test_schedule_of_steps_is_of_shares_of_the_training() -> None:
    rate = schedule("steps:0.1@0.6,0.5@0.8", 0.8, 1000)
    np.testing.assert_allclose(
        [rate(i) for i in (0, 599, 601, 799, 801)], [0.8, 0.8, 0.08, 0.08, 0.04], rtol=1e-6
    )
    for text in (
        "steps",
        "steps:",
        "steps:0.1",
        "steps:x@0.5",
        "steps:0.1@1.5",
        "steps:-1@0.5",
        "steps:0.1@nan",
    ):
        with pytest.raises(UserError, match="is no FACTOR@SHARE"):
            schedule(text, 0.8, 1000)


@pytest.mark.parametrize(("decay", "bias"), [("kernels", 0.0), ("all", -0.05)])
def test_weight_decay_of_kernels_or_of_all_weights(decay: str, bias: float) -> None:
    config = Config(optimizer="sgd", lr=0.1, momentum=0.0, weight_decay=0.5, decay=decay)
    params = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    optimizer = make_optimizer(config)
    updates, _ = optimizer.update(
        jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params
    )
    np.testing.assert_allclose(updates["w"], -0.05, rtol=1e-6)
    np.testing.assert_allclose(updates["b"], bias, rtol=1e-6)
    with pytest.raises(UserError, match="unknown decay 'most': choose kernels or all"):
        make_optimizer(dataclasses.replace(config, decay="most"))


@pytest.mark.parametrize("decay", ["kernels", "all"])
def test_weight_decay_is_of_weights_alone(decay: str) -> None:
    """Not of learned step sizes, nor of what an inner optimiser remembers."""
    config = Config(optimizer="sgd", lr=1.0, momentum=0.0, weight_decay=0.5, decay=decay)
    parts = ("body", "norms", "rates")
    params: dict = {name: {"w": jnp.ones((2, 2))} for name in parts}
    params["memory"] = memory(jnp.ones(()), {"w": jnp.ones((2, 2))})
    optimizer = make_optimizer(config)
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    moved = {name for name in params if jnp.abs(jax.tree.leaves(updates[name])[-1]).max() > 0}
    assert moved == ({"body", "norms"} if decay == "all" else {"body"})


def test_schedules_without_an_argument_take_none() -> None:
    for text in ("constant:3", "linear:0.1", "linear:"):
        with pytest.raises(UserError, match=f"unknown schedule '{text}'"):
            schedule(text, 0.1, 100)


def test_momentum_without_nesterov_is_that_of_pytorch() -> None:
    """Two steps along gradients of 1: v = 1 and 1.9; Nesterov's look ahead, 1.9 and 2.71."""
    for nesterov, expected in ((False, [1.0, 1.9]), (True, [1.9, 2.71])):
        optimizer = make_optimizer(Config(optimizer="sgd", lr=1.0, momentum=0.9, nesterov=nesterov))
        w = jnp.zeros(1)
        state = optimizer.init(w)
        moves = []
        for _ in range(2):
            update, state = optimizer.update(jnp.ones(1), state, w)
            moves.append(-float(update[0]))
        np.testing.assert_allclose(moves, expected, rtol=1e-6)


def test_mirrored_features_do_not_tell_an_image_from_its_mirror() -> None:
    config = Config(
        method="protonet", backbone="conv2-8", norm="group", mirror=True
    ).with_defaults()
    method = make_method(config, 8)
    x = jax.random.normal(jax.random.key(0), (3, 8, 8, 3))
    meta = method.train.init(jax.random.key(1), x[:1])
    tested, trained = method.test("group"), method.train
    np.testing.assert_allclose(
        tested.embed(meta, x), tested.embed(meta, x[:, :, ::-1]), rtol=1e-4, atol=1e-5
    )
    both = (trained.embed(meta, x) + trained.embed(meta, x[:, :, ::-1])) / 2
    np.testing.assert_allclose(tested.embed(meta, x), both, rtol=1e-4, atol=1e-5)
    assert jnp.abs(trained.embed(meta, x) - trained.embed(meta, x[:, :, ::-1])).max() > 1e-2


def test_schedules_give_their_rates_at_every_step() -> None:
    names = ("constant", "cosine", "linear", "halve:10")
    constant, cosine, linear, halve = (schedule(text, 0.8, 100) for text in names)
    np.testing.assert_allclose([constant(0), constant(99)], 0.8)
    np.testing.assert_allclose([cosine(0), cosine(50), cosine(100)], [0.8, 0.4, 0], atol=1e-6)
    np.testing.assert_allclose([linear(0), linear(25), linear(100)], [0.8, 0.6, 0], atol=1e-6)
    np.testing.assert_allclose([halve(9), halve(10), halve(29)], [0.8, 0.4, 0.2], rtol=1e-6)
    warm = schedule("cosine:0.2", 0.8, 100)
    found = [warm(0), warm(10), warm(20), warm(60), warm(100)]
    np.testing.assert_allclose(found, [0, 0.4, 0.8, 0.4, 0], atol=1e-6)
    for text in ("cosine:0", "cosine:1.5", "cosine:much"):
        with pytest.raises(UserError, match="is no share between 0 and 1"):
            schedule(text, 0.8, 100)
    assert schedule("halve:99999999999", 0.8, 100)(jnp.int32(99)) == 0.8  # never
    for text in ("linaer", "halve", "halve:0", "halve:-3"):
        with pytest.raises(UserError, match="unknown schedule"):
            schedule(text, 0.8, 100)


def test_sgd_without_momentum_is_plain() -> None:
    """Without momentum an update is the rate times the gradient, again and again."""
    params = jnp.ones(2)
    optimizer = make_optimizer(config(optimizer="sgd", lr=0.1, momentum=0.0))
    state = optimizer.init(params)
    for _ in range(3):
        updates, state = optimizer.update(2 * jnp.ones(2), state, params)
        np.testing.assert_allclose(updates, -0.2, rtol=1e-6)


def test_rmsprop_is_that_of_pytorch() -> None:
    """v = 0.99 v + 0.01 g^2, a step is lr g / (sqrt(v) + 1e-8): also where g^2 is below eps."""
    gradients = np.array([[1.0, -3e-7], [0.5, 2e-7], [-2.0, 1e-7]], np.float32)
    optimizer = make_optimizer(config(optimizer="rmsprop", lr=0.1))
    params = jnp.ones(2)
    state = optimizer.init(params)
    mean_square = np.zeros(2)
    for gradient in gradients:
        updates, state = optimizer.update(jnp.asarray(gradient), state, params)
        mean_square = 0.99 * mean_square + 0.01 * gradient.astype(float) ** 2
        expected = -0.1 * gradient / (np.sqrt(mean_square) + 1e-8)
        np.testing.assert_allclose(updates, expected, rtol=1e-5)


def test_weight_decay_spares_vectors() -> None:
    params = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    optimizer = make_optimizer(config(optimizer="sgd", lr=0.1, weight_decay=0.5))
    updates, _ = optimizer.update(
        jax.tree.map(jnp.zeros_like, params), optimizer.init(params), params
    )
    decayed = optax.apply_updates(params, updates)
    # Nesterov's first step: 1 + 0.9
    np.testing.assert_allclose(decayed["w"], 1 - 0.1 * 0.5 * 1.9, rtol=1e-6)
    np.testing.assert_array_equal(decayed["b"], 1)
    with pytest.raises(UserError, match="choose adam, sgd or rmsprop"):
        make_optimizer(config(optimizer="lion"))


@pytest.mark.parametrize("method", ["maml", "reptile"])
def test_shared_kernels_train_as_kernels_of_each_task(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:

    def made(name: str, norm: str, dtype: object, shared: bool, initial: str) -> Network:
        return tiny_network(norm, dtype=jnp.float64, shared=shared)

    monkeypatch.setattr("metalearn.learners.method.make_network", made)
    chosen = config(method=method, ways=2, inner_steps=2, inner_lr=0.1, inner_batch=0)
    with jax.enable_x64(True):
        task = jax.tree.map(
            lambda x: x.astype(jnp.float64) if x.ndim > 1 else x,
            easy_task(jax.random.key(0), 2, 2, 2),
        )
        found = []
        for shared in (False, True):
            learner = make_method(chosen, 64, shared).train
            meta = jax.tree.map(
                lambda x: x.astype(jnp.float64), learner.init(jax.random.key(1), task.support_x[:1])
            )

            def loss(m, learner=learner):
                return learner.loss(jax.random.key(2), m, task, jnp.int32(0))[0]

            found.append(quick_jit(jax.grad(loss))(meta))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9), *found)


@pytest.mark.parametrize(("asked", "found"), [(0, 1), (4, 4)])
def test_cpu_trains_one_task_at_a_time(
    asked: int, found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jax.local_devices", lambda: [SimpleNamespace(platform="cpu")])
    assert tasks_at_once(asked) == found
    monkeypatch.setattr("jax.local_devices", lambda: [SimpleNamespace(platform="tpu")])
    assert tasks_at_once(asked) == asked


@pytest.mark.parametrize(
    ("method", "moves"), [("maml", "bh"), ("fomaml", "bh"), ("anil", "h"), ("boil", "b")]
)
def test_maml_anil_and_boil_adapt_what_their_names_say(method: str, moves: str) -> None:
    learner = make_method(
        config(method=method, backbone="conv4-8", ways=2, inner_steps=1, inner_lr=0.5), 64
    ).train
    x = jax.random.normal(jax.random.key(1), (4, 16, 16, 1))
    meta = jax.jit(learner.init)(jax.random.key(0), x[:1])
    adapted = jax.jit(learner.adapt)(jax.random.key(2), meta, x, jnp.array([0, 0, 1, 1])).weights
    changed = {
        k: any(
            jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), meta[k], adapted[k]))
        )
        for k in meta
    }
    assert changed == {"body": "b" in moves, "head": "h" in moves}


@pytest.mark.parametrize("method", [method for method in METHODS if method != "relationnet"])
def test_backbones_of_feature_maps_serve_every_method(method: str) -> None:
    learner = make_method(config(method=method, backbone="conv4-8-map"), 64).train
    task = easy_task(jax.random.key(0), 5, 1, 1)

    def logits(key: jax.Array) -> jax.Array:
        meta = learner.init(key, task.support_x[:1])
        if learner.moments is not None:
            meta = meta | {"moments": learner.moments(meta, task.support_x)}
        return learner.predict(
            meta, learner.adapt(key, meta, task.support_x, task.support_y), task.query_x
        )

    assert jax.eval_shape(logits, jax.random.key(1)).shape == (5, 5)


def test_no_name_stands_for_two_methods() -> None:
    kinds = (METHODS, STRATEGIES, ADAPTATION)
    assert len(set().union(*kinds)) == sum(map(len, kinds))
