"""The tutorials' networks against Flax's layers with the same weights."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.learners.method import make_method
from metalearn.models import make_network
from metalearn.models.norms import KINDS
from metalearn.types import Array, Batch, PyTree, Task
from tests.small import quick_jit

KEY = jax.random.key(0)
SIZES = [(32, 3), (28, 1), (28, 3), (32, 1)]  # pixels, channels


def images(side: int, channels: int) -> Array:
    return jax.random.normal(KEY, (6, side, side, channels))


def drawn(name: str, x: Array, norm: str) -> PyTree:
    """Initial weights, moved so that no bias, scale or shift is what it begins with."""
    params = quick_jit(make_network(name, norm).init)(KEY, x[:1])
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(KEY, len(leaves))
    moved = [p + 0.1 * jax.random.normal(k, p.shape) for p, k in zip(leaves, keys, strict=True)]
    return tree.unflatten(moved)


class Plain(nn.Module):
    """The tutorial's network, as Keras builds it."""

    @nn.compact
    def __call__(self, x):
        for i, width in enumerate((32, 64, 64)):
            x = nn.relu(nn.Conv(width, (3, 3), padding="VALID", name=f"conv{i}")(x))
            if i < 2:
                x = nn.max_pool(x, (2, 2), (2, 2))
        return nn.relu(nn.Dense(64, name="dense")(x.reshape(len(x), -1)))


class Normalised(nn.Module):
    """Four normalised blocks and a normalised dense layer, in the usual order."""

    @nn.compact
    def __call__(self, x):
        def norm(name):
            return nn.BatchNorm(use_running_average=False, epsilon=1e-5, name=name)

        for i, width in enumerate((32, 64, 128, 128)):
            y = nn.Conv(width, (3, 3), padding="SAME", use_bias=False, name=f"conv{i}")(x)
            x = nn.max_pool(nn.relu(norm(f"norm{i}")(y)), (2, 2), (2, 2))
        y = nn.Dense(128, use_bias=False, name="dense")(x.reshape(len(x), -1))
        return nn.relu(norm("dense_norm")(y))


def of_flax(params: PyTree) -> PyTree:
    """Our weights under the names of Flax's layers."""
    theirs = {}
    for name, value in params.items():
        if isinstance(value, dict):
            theirs[name] = {"scale": value["scale"], "bias": value["shift"]}
        elif "bias" not in name:
            bias = name.replace("conv", "bias") if name != "dense" else "dense_bias"
            theirs[name] = {"kernel": value} | ({"bias": params[bias]} if bias in params else {})
    return theirs


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("side", "channels"), SIZES)
def test_plain_cnn_is_that_of_flax(side: int, channels: int, shared: bool) -> None:
    x = images(side, channels)
    params = drawn("cnn", x, "none")
    found = quick_jit(make_network("cnn", "none", shared=shared).apply)(params, x)
    expected = quick_jit(Plain().apply)({"params": of_flax(params)}, x)
    assert found.shape == (6, 64) and found.std() > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("side", "channels", "shared"), [(32, 3, True), (28, 1, False), (28, 3, True)]
)
def test_normalised_cnn_is_that_of_flax(side: int, channels: int, shared: bool) -> None:
    x = images(side, channels)
    network = make_network("cnn-bn", shared=shared)
    params = drawn("cnn-bn", x, "batch")
    variables = {"params": of_flax(params)}
    expected, _ = quick_jit(lambda: Normalised().apply(variables, x, mutable=["batch_stats"]))()
    for ready in (x, network.prepare(x)):
        found = quick_jit(network.apply)(params, ready)
        assert found.shape == (6, 128) and found.std() > 0.1
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)


def counts(name: str, norm: str) -> dict[str, int]:
    params = jax.eval_shape(make_network(name, norm).init, KEY, images(32, 3))
    return {k: sum(p.size for p in jax.tree.leaves(v)) for k, v in params.items()}


def test_plain_cnn_has_the_parameters_of_the_tutorial() -> None:
    """Its summary: 896, 18,496, 36,928 and 65,600, before the classifier's 650."""
    found = counts("cnn", "none")
    layers = [found[f"conv{i}"] + found[f"bias{i}"] for i in range(3)]
    assert [*layers, found["dense"] + found["dense_bias"]] == [896, 18_496, 36_928, 65_600]
    assert sum(found.values()) == 122_570 - 650


def test_normalised_cnn_parameters() -> None:
    found = counts("cnn-bn", "batch")
    kernels = [27 * 32, 9 * 32 * 64, 9 * 64 * 128, 9 * 128 * 128, 2 * 2 * 128 * 128]
    assert sum(found.values()) == sum(kernels) + 2 * (32 + 64 + 128 + 128 + 128)


@pytest.mark.parametrize("norm", [kind for kind in KINDS if kind != "none"])
def test_plain_cnn_refuses_normalisation(norm: str) -> None:
    with pytest.raises(UserError, match="cnn has no normalisation layers.*--norm=none"):
        make_network("cnn", norm)


def test_plain_cnn_refuses_images_of_which_nothing_is_left() -> None:
    network = make_network("cnn", "none")
    small, least = (jnp.zeros((1, 32, side, 1)) for side in (17, 18))
    with pytest.raises(UserError, match="18 pixels a side at least, not 32 x 17"):
        network.init(KEY, small)
    assert jax.eval_shape(network.init, KEY, least)["dense"].shape == (4 * 64, 64)


@pytest.mark.parametrize("norm", KINDS)
def test_normalised_cnn_keeps_moments_of_batches_alone(norm: str) -> None:
    network, x = make_network("cnn-bn", norm), images(4, 3)
    params = drawn("cnn-bn", x, norm)
    moments = quick_jit(network.moments)(params, x)
    assert len(moments) == (5 if norm == "batch" else 0)  # four blocks and the dense layer
    z = quick_jit(network.apply)(params, x, moments)
    np.testing.assert_allclose(z, network.apply(params, x), rtol=1e-3, atol=1e-3)
    if norm in ("group", "layer"):
        alone = quick_jit(network.apply)(params, x[:1])
        np.testing.assert_allclose(z[:1], alone, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("name", "norm"), [("cnn", "none"), ("cnn-bn", "batch")])
def test_cnn_products_in_bfloat16_stay_near_float32(name: str, norm: str) -> None:
    x = images(20, 3)
    params = drawn(name, x, norm)
    exact, rough = (
        quick_jit(make_network(name, norm, dtype).apply)(params, x)
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    assert rough.dtype == jnp.float32
    assert 0 < jnp.abs(rough - exact).mean() < 0.05 * jnp.abs(exact).mean() + 0.01


@pytest.mark.parametrize(("name", "norm"), [("cnn", "none"), ("cnn-bn", "batch")])
def test_initial_kernels_of_a_recipe_are_those_of_the_dense_layer_too(name: str, norm: str) -> None:
    """PyTorch's are uniform within 1 / sqrt(inputs)."""
    params = quick_jit(make_network(name, norm, initial="torch").init)(KEY, images(32, 3))
    bound = params["dense"].shape[0] ** -0.5
    assert 0.99 * bound < jnp.abs(params["dense"]).max() <= bound


@pytest.mark.parametrize("method", ["fomaml", "protonet", "rfs"])
@pytest.mark.parametrize(("name", "norm"), [("cnn", "none"), ("cnn-bn", "group")])
def test_cnn_learns_in_every_family_of_methods(method: str, name: str, norm: str) -> None:
    """A loss with finite gradients, none of them zero in all of a kernel."""
    settings = dict(backbone=name, norm=norm, ways=2, shots=1, inner_lr=0.01, inner_steps=1)
    config = Config(method=method, **settings).with_defaults()
    learner = make_method(config, 2).train
    x = images(18, 3)[:4]
    meta = quick_jit(learner.init)(KEY, x[:1])
    y = jnp.array([0, 1])
    batch = Batch(x[:2], y) if method == "rfs" else Task(x[:2], y, x[2:], y)
    gradients = quick_jit(jax.grad(lambda m: learner.loss(KEY, m, batch)[0]))(meta)
    leaves = jax.tree.leaves(gradients)
    assert all(jnp.isfinite(g).all() for g in leaves)
    assert all(jnp.abs(g).max() > 0 for g in leaves if g.ndim > 1)
