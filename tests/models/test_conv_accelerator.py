"""Convolutions as an accelerator takes them, traced and computed on a CPU."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core.primitives import conv_general_dilated_p, dot_general_p

from metalearn.config import Config
from metalearn.learners.method import make_method
from metalearn.models.conv import conv
from metalearn.types import Array, PyTree
from tests.small import easy_task, operations


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
def test_tasks_with_a_shared_kernel_make_no_grouped_convolution(
    kernel: int, stride: int, accelerated: None
) -> None:
    gradients = jax.grad(loss, (0, 1))
    traced = jax.make_jaxpr(gradients, static_argnums=2)(*example(kernel), stride)
    found = [op for op in operations(traced.jaxpr) if op.primitive is conv_general_dilated_p]
    assert len(found) == 3  # forward, and the gradients in images and kernel
    for operation in found:
        assert operation.params["feature_group_count"] == 1
        assert operation.params["batch_group_count"] == 1


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 1)])
def test_accelerator_forms_agree_with_those_of_a_cpu(
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


def types(program: Callable, *arguments: PyTree) -> list[set[str]]:
    """Of each convolution and matrix product in the program, the types in and out."""
    found = operations(jax.make_jaxpr(program)(*arguments).jaxpr)
    products = [op for op in found if op.primitive in (conv_general_dilated_p, dot_general_p)]
    return [{str(v.aval.dtype) for v in (*op.invars, *op.outvars)} for op in products]


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("shared", [False, True])
def test_derivatives_are_in_the_precision_asked_for(
    shared: bool,
    kernel: int,
    accelerated: None,
) -> None:
    x = jnp.ones((3, 2, 6, 6, 2))
    w = jnp.ones((kernel, kernel, 2, 4))

    def low(w: Array) -> Array:
        each = jax.vmap(lambda task: conv(task, w, dtype=jnp.bfloat16, shared=shared))(x)
        assert each.dtype == jnp.float32
        return jnp.sin(each).mean()

    def slope(w: Array) -> Array:
        return jnp.square(jax.grad(low)(w)).sum()

    found = types(jax.grad(slope), w)
    assert len(found) >= 3 and all(each == {"bfloat16"} for each in found)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("backbone", ["conv4-64-strided", "resnet12"])
def test_training_step_convolves_in_the_precision_asked_for(
    backbone: str,
    precision: str,
    accelerated: None,
) -> None:
    config = Config(method="protonet", backbone=backbone, precision=precision).with_defaults()
    learner = make_method(config, classes=4).train
    key = jax.random.key(0)
    task = easy_task(key, ways=config.train_ways, shots=1, queries=2)
    meta = learner.init(key, task.support_x[:1])

    def loss(meta: PyTree) -> Array:
        return learner.loss(key, meta, task, jnp.int32(0))[0]

    found = [
        str(operation.outvars[0].aval.dtype)
        for operation in operations(jax.make_jaxpr(jax.grad(loss))(meta).jaxpr)
        if operation.primitive is conv_general_dilated_p
    ]
    assert len(found) >= 8 and set(found) == {precision}
