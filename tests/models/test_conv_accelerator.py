"""Convolutions as an accelerator takes them, traced and computed on a CPU."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core.primitives import conv_general_dilated_p

from metalearn.base import Array
from metalearn.models.conv import conv
from tests.small import operations


@pytest.fixture
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def loss(x: Array, w: Array, stride: int) -> Array:
    """Mean over tasks x [T,B,H,W,Ch] that share their kernel w."""
    each = jax.vmap(lambda task: conv(task, w, stride, x.dtype, shared=True))(x)
    return jnp.sin(each).mean()


def example(kernel: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(3, 2, 6, 6, 2)), rng.normal(size=(kernel, kernel, 2, 4))


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 1)])
def test_tasks_sharing_a_kernel_make_no_groups(kernel: int, stride: int, accelerated: None) -> None:
    gradients = jax.grad(loss, (0, 1))
    traced = jax.make_jaxpr(gradients, static_argnums=2)(*example(kernel), stride)
    found = [op for op in operations(traced.jaxpr) if op.primitive is conv_general_dilated_p]
    assert len(found) == 3  # forward, and the gradients in images and kernel
    for operation in found:
        assert operation.params["feature_group_count"] == 1
        assert operation.params["batch_group_count"] == 1


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 1)])
def test_it_computes_what_a_cpu_does(
    kernel: int,
    stride: int,
    float64: None,
    request: pytest.FixtureRequest,
) -> None:
    of_cpu = jax.value_and_grad(loss, (0, 1))(*example(kernel), stride)
    request.getfixturevalue("accelerated")
    found = jax.value_and_grad(loss, (0, 1))(*example(kernel), stride)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(of_cpu), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)
