"""The first layer's convolution of prepared images against XLA's, and its moments against those of
the result.
"""

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.models.conv import largest, max_pool
from metalearn.models.first_layer import Prepared, prepare


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def native(x: jax.Array, w: jax.Array, stride: int = 1) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, w, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def example(side: tuple[int, int]) -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(0)
    return jnp.asarray(3 + rng.normal(size=(2, *side, 3))), jnp.asarray(
        rng.normal(size=(3, 3, 3, 5))
    )


def ready(x: jax.Array, **how: object) -> Prepared:
    return prepare(x, dtype=jnp.float64, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "how", [{}, {"stride": 2}, {"windows": True}], ids=["patches", "strided", "windows"]
)
def test_first_layer_convolution_and_moments(how: dict) -> None:
    x, w = example((6, 8))
    found, wanted = ready(x, **how), native(x, w, how.get("stride", 1))
    assert found.channels == 3
    views = (
        [wanted[:, i::2, j::2] for i in (0, 1) for j in (0, 1)] if how.get("windows") else [wanted]
    )
    for one, other in zip(found.conv(w), views, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
    mean, var = found.moments(w)
    np.testing.assert_allclose(mean, wanted.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(var, wanted.var((0, 1, 2)), rtol=1e-12)


def test_first_layer_windows_agree_at_every_order_of_derivative() -> None:
    x, w = example((6, 4))
    weight = jnp.cos(jnp.arange(2 * 3 * 2 * 5, dtype=jnp.float64)).reshape(2, 3, 2, 5)

    def gradients(pooled):  # type: ignore[no-untyped-def]
        first = jax.grad(lambda w: (jnp.sin(pooled(w)) * weight).sum())
        return pooled(w), first(w), jax.grad(lambda w: jnp.square(first(w)).sum())(w)

    found, wanted = (
        gradients(lambda w: largest(ready(x, windows=True).conv(w))),
        gradients(lambda w: max_pool(native(x, w))),
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11), found, wanted
    )


def test_first_layer_pooling_gradient_goes_to_the_first_of_equal_maxima() -> None:
    """As where they stand in one array: the gradient goes to the first of equal maxima."""
    x, w = jnp.ones((1, 6, 6, 1)), jnp.ones((3, 3, 1, 1))
    found = jax.grad(lambda w: largest(ready(x, windows=True).conv(w))[:, 1, 1].sum())(w)
    np.testing.assert_array_equal(found, w)


def test_variances_are_never_below_zero() -> None:
    """Rounding may take the covariance of nearly equal images there."""
    x, w = example((6, 8))
    made = ready(x)
    rounded = dataclasses.replace(made, covariance=-1e-3 * jnp.eye(len(made.mean)))
    assert (rounded.moments(w)[1] == 0).all()


def test_moments_are_of_numbers_that_are_not_rounded() -> None:
    """Accelerators round what they multiply, unless they are told not to."""
    x, w = example((6, 8))
    for made in (jax.make_jaxpr(prepare)(x), jax.make_jaxpr(lambda w: ready(x).moments(w))(w)):
        products = [each for each in made.eqns if each.primitive.name == "dot_general"]
        highest = (jax.lax.Precision.HIGHEST,) * 2
        assert products and all(each.params["precision"] == highest for each in products)
