"""Depthwise convolution by shifted sums against XLA's, and its derivatives against JAX's."""

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.models.depthwise import by_shifts, depthwise, native
from metalearn.models.layers import SAME, by_places, by_product, convolve, pads_of
from metalearn.models.layers import native as native_convolution
from tests.small import quick_jit


@pytest.fixture
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def noise(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(sum(shape)).normal(size=shape))


CASES = [
    (3, 1, SAME, 6),
    (3, 2, SAME, 6),
    (3, 2, SAME, 7),
    (5, 2, SAME, 6),
    (3, 2, 1, 6),
    (5, 1, 2, 5),
]


@pytest.mark.parametrize(("kernel", "stride", "padding", "size"), CASES)
def test_sums_and_derivatives(
    kernel: int, stride: int, padding: str | int, size: int, float64: None
) -> None:
    x = noise(2, size, size + 1, 3)
    w = noise(kernel, kernel, 1, 3)
    pads = pads_of(x, (kernel, kernel), stride, padding)

    def orders(form):
        """The value, its gradients, and how the gradients change."""
        function = partial(form, stride=stride, pads=pads)

        def loss(x, w):
            return jnp.sin(function(x, w)).sum()

        gradients = jax.grad(loss, (0, 1))
        second = jax.grad(lambda x, w: sum(jnp.square(g).sum() for g in gradients(x, w)), (0, 1))
        return function(x, w), gradients(x, w), second(x, w)

    def by_position(x, w, stride, pads):
        return by_shifts(x, w, stride, pads)

    (found, expected) = (
        quick_jit(orders, static_argnums=0)(form) for form in (by_position, native)
    )
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-11, atol=1e-11), found, expected)


def form_of(form: Callable, *shape: int) -> str:
    x = noise(1, 4, 4, 2)
    return jax.jit(partial(form, stride=1, pads=((1, 1), (1, 1)))).lower(x, noise(*shape)).as_text()


@pytest.mark.parametrize(("form", "channels"), [(depthwise, 1), (convolve, 2)])
def test_a_cpu_has_a_form_of_its_own(form: Callable, channels: int) -> None:
    assert "convolution" not in form_of(form, 3, 3, channels, 2)


@pytest.mark.parametrize(("form", "channels"), [(depthwise, 1), (convolve, 2)])
def test_an_accelerator_has_xlas_form(form: Callable, channels: int, accelerated: None) -> None:
    assert "convolution" in form_of(form, 3, 3, channels, 2)


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (1, 7)])
@pytest.mark.parametrize(("stride", "padding"), [(1, SAME), (2, SAME), (2, 1), (1, 0)])
def test_products(kernel: tuple[int, int], stride: int, padding: str | int, float64: None) -> None:
    x = noise(2, 9, 8, 3)
    w = noise(*kernel, 3, 4)
    pads = pads_of(x, kernel, stride, padding)
    found = by_product(x, w, stride, pads)
    np.testing.assert_allclose(
        found, native_convolution(x, w, stride, pads), rtol=1e-11, atol=1e-11
    )


@pytest.mark.parametrize(("stride", "padding"), [(2, SAME), (1, 1)])
def test_sums_over_places_and_channels(stride: int, padding: str | int, float64: None) -> None:
    """Values and gradients of the form for images of three channels."""
    x = noise(2, 7, 6, 3)
    w = noise(3, 3, 3, 4)
    pads = pads_of(x, (3, 3), stride, padding)

    def both(form):
        def loss(x, w):
            return jnp.sin(form(x, w, stride, pads)).sum()

        return form(x, w, stride, pads), jax.grad(loss, (0, 1))(x, w)

    (found, expected) = (quick_jit(partial(both, form))() for form in (by_places, by_product))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-11, atol=1e-11), found, expected)
