"""Normalisation against Flax's layers and the usual order of operations."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.models import make_network
from metalearn.models.conv import max_pool
from metalearn.models.norms import KINDS, Norm
from metalearn.types import Array, PyTree

FEATURES = 12


@pytest.fixture(scope="module")
def y() -> Array:
    return 3 * jax.random.normal(jax.random.key(0), (5, 7, 6, FEATURES)) + 2 * jnp.arange(FEATURES)


@pytest.fixture(scope="module")
def params() -> PyTree:
    """Scales of both signs, one of them zero."""
    return {"scale": jnp.linspace(-1, 1.2, FEATURES), "shift": jnp.linspace(1, -2, FEATURES)}


def close(a: Array, b: Array) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_folded_pooling_equals_pooling_after_normalisation(
    kind: str, y: Array, params: PyTree
) -> None:
    groups = 4
    variables = {"params": params}
    plain = max_pool(Norm(kind, groups=groups).apply(variables, y))
    close(Norm(kind, pool=2, groups=groups).apply(variables, y), plain)

    def loss(variables: PyTree, y: Array, folded: bool) -> Array:
        if folded:
            return jnp.sin(Norm(kind, pool=2, groups=groups).apply(variables, y)).sum()
        return jnp.sin(max_pool(Norm(kind, groups=groups).apply(variables, y))).sum()

    away_from_zero = {
        "params": params
        | {"scale": jnp.where(jnp.abs(params["scale"]) < 0.1, 0.5, params["scale"])}
    }
    gradients = [jax.grad(loss, (0, 1))(away_from_zero, y, folded) for folded in (True, False)]
    jax.tree.map(close, *gradients)


def theirs(layer: nn.Module, params: PyTree, y: Array, **variables: PyTree) -> Array:
    return layer.apply(
        {"params": {"scale": params["scale"], "bias": params["shift"]}} | variables, y
    )


def test_group_normalisation_is_that_of_flax(y: Array, params: PyTree) -> None:
    expected = theirs(nn.GroupNorm(num_groups=4, epsilon=1e-5), params, y)
    close(Norm("group", groups=4).apply({"params": params}, y), expected)


def test_group_normalisation_of_few_channels_has_one_per_group(y: Array, params: PyTree) -> None:
    few = jax.tree.map(lambda p: p[:4], params)
    expected = theirs(nn.GroupNorm(num_groups=4, epsilon=1e-5), few, y[..., :4])
    close(Norm("group", groups=8).apply({"params": few}, y[..., :4]), expected)


@pytest.mark.parametrize(("channels", "groups"), [(20, 5), (50, 5), (12, 6), (7, 7), (13, 1)])
def test_groups_are_equal_whatever_the_channels(channels: int, groups: int) -> None:
    y = jax.random.normal(jax.random.key(1), (3, 4, 5, channels))
    params = {"scale": jnp.linspace(-1, 1.2, channels), "shift": jnp.linspace(1, -2, channels)}
    expected = theirs(nn.GroupNorm(num_groups=groups, epsilon=1e-5), params, y)
    close(Norm("group").apply({"params": params}, y), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_in_lenet(kind: str) -> None:
    """Its layers have 20, 50 and 500 units."""
    network = make_network("lenet", kind)
    x = jax.ShapeDtypeStruct((2, 28, 28, 1), jnp.float32)
    params = jax.eval_shape(network.init, jax.random.key(0), x)
    assert jax.eval_shape(network.apply, params, x).shape == (2, 500)


def test_layer_normalisation_is_that_of_flax(y: Array, params: PyTree) -> None:
    expected = theirs(
        nn.LayerNorm(epsilon=1e-5, reduction_axes=(1, 2, 3), feature_axes=-1), params, y
    )
    close(Norm("layer").apply({"params": params}, y), expected)


def test_no_normalisation_scales_and_shifts(y: Array, params: PyTree) -> None:
    # the constant of the layer's eps remains
    close(Norm("none").apply({"params": params}, y), y * params["scale"] + params["shift"])


def test_batch_normalisation_is_that_of_flax_in_training(y: Array, params: PyTree) -> None:
    stats = {"mean": jnp.zeros(FEATURES), "var": jnp.ones(FEATURES)}
    layer = nn.BatchNorm(use_running_average=False, epsilon=1e-5)
    expected, _ = layer.apply(
        {"params": {"scale": params["scale"], "bias": params["shift"]}, "batch_stats": stats},
        y,
        mutable=["batch_stats"],
    )
    close(Norm("batch").apply({"params": params}, y), expected)


def test_batch_normalisation_with_given_moments_is_that_of_flax_at_test(
    y: Array, params: PyTree
) -> None:
    stats = {"mean": jnp.linspace(0, 3, FEATURES), "var": jnp.linspace(0.5, 4, FEATURES)}
    expected = theirs(
        nn.BatchNorm(use_running_average=True, epsilon=1e-5), params, y, batch_stats=stats
    )
    found = Norm("batch").apply({"params": params, "moments": stats}, y)
    close(found, expected)
    assert jnp.abs(found - Norm("batch").apply({"params": params}, y)).max() > 0.1


def test_moments_are_collected_if_mutable(y: Array, params: PyTree) -> None:
    out, state = Norm("batch").apply({"params": params}, y, mutable=["moments"])
    close(state["moments"]["mean"], np.asarray(y).mean((0, 1, 2)))
    close(state["moments"]["var"], np.asarray(y).var((0, 1, 2)))
    np.testing.assert_array_equal(Norm("batch").apply({"params": params} | state, y), out)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
def test_constant_channels_give_the_shift_and_finite_gradients(kind: str, params: PyTree) -> None:
    """One image of one place, as at the end of a deep network: variance zero, never below it by
    rounding.
    """
    y = jnp.full((1, 1, 1, FEATURES), 1234.567 if kind == "batch" else 2.5)

    def apply(y):
        return Norm(kind).apply({"params": params}, y)

    np.testing.assert_allclose(apply(y)[0, 0, 0], params["shift"], atol=1e-6)
    assert jnp.isfinite(jax.jacobian(apply)(y)).all()
