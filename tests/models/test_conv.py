"""Convolution and pooling against XLA's and Flax's, at every order of derivative that training
takes.
"""

from collections.abc import Callable, Iterator
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.models import winograd
from metalearn.models.conv import conv, max_pool
from tests.small import quick_jit


@pytest.fixture
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def native(x: jax.Array, w: jax.Array, stride: int, padding: str = "SAME") -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, w, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def ours(x: jax.Array, w: jax.Array, stride: int) -> jax.Array:
    return conv(x, w, stride, jnp.float64)


def shared(x: jax.Array, w: jax.Array, stride: int) -> jax.Array:
    return conv(x, w, stride, jnp.float64, shared=True)


def orders(function: Callable, x: jax.Array, w: jax.Array, stride: int) -> tuple:
    """The value, its gradients, and how the gradients change along a direction."""
    weight = jnp.cos(jnp.arange(function(x, w, stride).size, dtype=x.dtype))

    def loss(x, w):
        return (jnp.sin(function(x, w, stride)).reshape(-1) * weight).sum()

    gradients = jax.grad(loss, (0, 1))
    second = jax.grad(lambda x, w: sum(jnp.square(g).sum() for g in gradients(x, w)), (0, 1))
    return function(x, w, stride), gradients(x, w), second(x, w)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("size", [(6, 6), (7, 5), (1, 2)])
def test_convolution_agrees_with_lax_at_every_order_of_derivative(
    size: tuple[int, int], kernel: int, stride: int, float64: None
) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, *size, 3)), rng.normal(size=(kernel, kernel, 3, 4))
    if size == (7, 5) and kernel == 3:
        *found, expected = (
            quick_jit(orders, static_argnums=(0, 3))(f, x, w, stride)
            for f in (ours, shared, native)
        )
    else:
        *found, expected = (f(x, w, stride) for f in (ours, shared, native))
    for each in found:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), each, expected
        )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("one", [False, True])
@pytest.mark.parametrize(("kernel", "size"), [(3, (7, 5)), (3, (3, 4)), (1, (4, 3))])
def test_unpadded_convolution_agrees_with_lax_at_every_order_of_derivative(
    size: tuple[int, int], kernel: int, one: bool, stride: int, float64: None
) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, *size, 3)), rng.normal(size=(kernel, kernel, 3, 4))
    forms = (
        lambda x, w, stride: conv(x, w, stride, jnp.float64, one, "VALID"),
        lambda x, w, stride: native(x, w, stride, "VALID"),
    )
    found, expected = (quick_jit(orders, static_argnums=(0, 3))(f, x, w, stride) for f in forms)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), found, expected
    )


@pytest.mark.parametrize(
    "width", [10, 12]
)  # gradients of kernels take larger tiles where these fit
def test_winograd_agrees_at_every_order_of_derivative(width: int, float64: None) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 8, width, 64)), rng.normal(size=(3, 3, 64, 66)) / 24
    assert winograd.pays(jnp.asarray(x), 66)
    found, expected = (
        quick_jit(orders, static_argnums=(0, 3))(f, x, w, 1) for f in (shared, native)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10), found, expected
    )


def test_winograd_in_float32() -> None:
    """As it is trained: within the rounding that its module names."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(3, 8, 12, 64)), jnp.float32)
    w = jnp.asarray(rng.normal(size=(3, 3, 64, 65)), jnp.float32)

    def loss(convolve: Callable, w: jax.Array) -> jax.Array:
        return jnp.sin(convolve(x, w) / 64).sum()

    def plain(x: jax.Array, w: jax.Array) -> jax.Array:
        return native(x, w, 1)

    for found, expected in (
        (winograd.conv3x3(x, w), plain(x, w)),
        (
            jax.grad(lambda w: loss(partial(conv, shared=True), w))(w),
            jax.grad(lambda w: loss(plain, w))(w),
        ),
    ):
        error = np.abs(found - expected).max() / np.abs(expected).max()
        assert found.dtype == jnp.float32 and error < 1e-4


def test_winograd_of_no_images() -> None:
    x = jnp.zeros((0, 8, 8, 64))
    w = jnp.ones((3, 3, 64, 65))
    assert winograd.conv3x3(x, w).shape == (0, 8, 8, 65)
    assert not winograd.kernel_gradient(x, jnp.zeros((0, 8, 8, 65))).any()


@pytest.mark.parametrize("shape", [(1, 7, 8, 64), (1, 4, 8, 64), (1, 8, 8, 3)])
def test_winograd_is_for_whole_tiles_of_many_channels(shape: tuple[int, ...]) -> None:
    assert winograd.pays(jnp.zeros((1, 8, 8, 64)), 64)
    assert not winograd.pays(jnp.zeros(shape), 64)
    assert not winograd.pays(jnp.zeros((1, 8, 8, 64), jnp.bfloat16), 64)


def test_form_for_shared_kernels_is_right_for_kernels_per_task() -> None:
    x, w = (
        jax.random.normal(jax.random.key(0), (3, 2, 4, 4, 2)),
        jax.random.normal(jax.random.key(1), (3, 3, 3, 2, 4)),
    )
    forms = [lambda x, w, one=one: jnp.sin(conv(x, w, shared=one)).sum() for one in (True, False)]
    for axes in ((0, 0), (0, None)):
        found = [jax.vmap(jax.grad(f, (0, 1)), axes)(x, w if axes[1] == 0 else w[0]) for f in forms]
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), *found)


@pytest.mark.parametrize("one", [False, True])
def test_bfloat16_convolution_sums_in_float32(one: bool) -> None:
    x = jax.random.normal(jax.random.key(0), (2, 6, 6, 8))
    w = jax.random.normal(jax.random.key(1), (3, 3, 8, 4)) / 8
    assert (
        jax.grad(lambda x: conv(x, w, dtype=jnp.bfloat16, shared=one).sum())(x).dtype == jnp.float32
    )
    found = conv(x, w, dtype=jnp.bfloat16, shared=one)
    assert found.dtype == jnp.float32
    rounded = (a.astype(jnp.bfloat16).astype(jnp.float32) for a in (x, w))
    np.testing.assert_allclose(found, native(*rounded, 1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 6, 4, 3), (1, 7, 5, 2), (1, 2, 3, 1)])
def test_max_pool_agrees_with_flax(shape: tuple[int, ...]) -> None:
    x = jax.random.normal(jax.random.key(0), shape)
    weight = jax.random.normal(jax.random.key(1), max_pool(x).shape)

    def theirs(x):
        return nn.max_pool(x, (2, 2), (2, 2), "VALID")

    np.testing.assert_array_equal(max_pool(x), theirs(x))
    gradients = [jax.grad(lambda x, f=f: (f(x) * weight).sum())(x) for f in (max_pool, theirs)]
    np.testing.assert_array_equal(*gradients)


@pytest.mark.parametrize("place", range(4))
def test_max_pool_keeps_a_nan_at_any_place(place: int) -> None:
    x = jnp.arange(8.0).at[place].set(jnp.nan).reshape(2, 2, 2, 1)
    found = jax.jit(max_pool)(x).reshape(-1)
    assert jnp.isnan(found[0]) and found[1] == 7


def test_max_pool_gradient_goes_to_the_first_of_equal_maxima() -> None:
    gradient = jax.grad(lambda x: max_pool(x).sum())(jnp.zeros((1, 2, 2, 1)))
    np.testing.assert_array_equal(gradient.reshape(-1), [1, 0, 0, 0])
