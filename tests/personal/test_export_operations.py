"""Functions of images traced by JAX, as graphs of ONNX: one operation at a time."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.errors import UserError
from metalearn.models.pooling import average_pool3, max_pool
from metalearn.personal.export_graph import OPSET, Graph
from metalearn.personal.export_walk import write_graph

REASON = "exporting: pip install -r requirements-export.txt"
onnx = pytest.importorskip("onnx", reason=REASON)
runtime = pytest.importorskip("onnxruntime", reason=REASON)

SHAPE = (6, 5, 3)
RNG = np.random.default_rng(0)
WEIGHTS = {
    "kernel": RNG.normal(size=(3, 3, 3, 8)).astype(np.float32),
    "matrix": RNG.normal(size=(3, 4)).astype(np.float32),
    "rows": RNG.normal(size=(7, 6)).astype(np.float32),
    "vector": RNG.normal(size=3).astype(np.float32),
}
Given = dict[str, jax.Array]


def convolved(w: Given, x: jax.Array) -> jax.Array:
    numbers = ("NHWC", "HWIO", "NHWC")
    pads = ((0, 1), (2, 0))
    return jax.lax.conv_general_dilated(x, w["kernel"], (2, 1), pads, dimension_numbers=numbers)


def concatenated(w: Given, x: jax.Array) -> jax.Array:
    """Of arrays whose axes are stored in different orders."""
    rows = jnp.einsum("rh,nhwc->nrwc", w["rows"], x)
    return jnp.concatenate([x, rows, convolved(w, x)[..., 2:5].repeat(2, 2)[:, :, :5]], 1)


def on_platforms(w: Given, x: jax.Array) -> jax.Array:
    """Not a CPU's form, which has another result here."""
    return jax.lax.platform_dependent(x, cpu=lambda x: x + 100, default=lambda x: x * 2)


FUNCTIONS: dict[str, Callable[[Given, jax.Array], jax.Array]] = {
    "activations": lambda w, x: jnp.clip(jax.nn.relu(x) - 0.5, 0, 6) + jax.nn.gelu(x, False),
    "argmax": lambda w, x: x.argmax(3).astype(jnp.float32),
    "arithmetic": lambda w, x: (x / 3 - 1) ** 3 * jax.lax.rsqrt(jnp.square(x) + 1) - jnp.exp(-x),
    "attention": lambda w, x: jax.nn.dot_product_attention(x, x * 2, x + 1),
    "average pool": lambda w, x: average_pool3(x, counted=False),
    "bias of channels": lambda w, x: convolved(w, x) + jnp.arange(8.0),
    "bias of rows": lambda w, x: convolved(w, x) + jnp.arange(3.0)[:, None, None],
    "broadcast of images": lambda w, x: jnp.concatenate([x, jnp.ones((len(x), 1, 5, 3))], 1),
    "chosen": lambda w, x: jnp.where((x > 1) | (x != x), x, -x),
    "concatenation of orders": concatenated,
    "convolution": convolved,
    "matrix on the left": lambda w, x: jnp.einsum("rh,nhwc->nrwc", w["rows"], x),
    "matrix on the right": lambda w, x: x @ w["matrix"],
    "max pool": lambda w, x: max_pool(x, 3, 2, 1),
    "norm": lambda w, x: (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1),
    "platforms": on_platforms,
    "product over two axes": lambda w, x: jnp.einsum("nhwc,nhwd->ncd", x, x + 1),
    "resized": lambda w, x: jax.image.resize(x, (len(x), 4, 7, 3), "bicubic"),
    "reshaped": lambda w, x: x.transpose(0, 3, 1, 2).reshape(len(x) * 3, -1).sum(1),
    "stack": lambda w, x: jnp.stack([x, x * w["vector"]], 2)[:, 1:4:2],
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_operation(name: str) -> None:
    def function(w: Given, images: jax.Array) -> list[jax.Array]:
        return [FUNCTIONS[name](w, images.astype(jnp.float32) / 64)]

    for images in (RNG.integers(0, 256, (n, *SHAPE)).astype(np.uint8) for n in (1, 4)):
        (expected,) = function(WEIGHTS, jnp.asarray(images))
        if name == "platforms":
            expected = images / np.float32(32)
        np.testing.assert_allclose(computed(function, images), expected, rtol=1e-4, atol=1e-5)


def computed(function: Callable, images: np.ndarray) -> np.ndarray:
    """What onnxruntime makes of a function's graph."""
    helper = onnx.helper
    graph = Graph()
    (value,) = write_graph(graph, function, WEIGHTS, SHAPE)
    graph.give("found", value)
    made = helper.make_graph(
        graph.used(["found"]),
        "one",
        [helper.make_tensor_value_info("image", 2, ["N", *SHAPE])],
        [helper.make_tensor_value_info("found", 1, [None] * len(value.dims))],
        list(graph.initial.values()),
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(made, opset_imports=opset, ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    session = runtime.InferenceSession(model.SerializeToString())
    return session.run(None, {"image": images})[0]


def test_weights_in_8_bits_are_within_half_a_step_of_each_channel() -> None:
    graph = Graph(int8=True)
    array = (
        RNG.normal(size=(4, 3, 2, 2)).astype(np.float32)
        * np.logspace(-3, 1, 4)[:, None, None, None]
    )
    array = array.astype(np.float32)
    multiplied = graph.nodes[graph.weights(array, "layer", 0)]
    (codes, scale) = (graph.nodes[multiplied.input[0]].input[0], multiplied.input[1])
    (codes, scale) = (onnx.numpy_helper.to_array(graph.initial[name]) for name in (codes, scale))
    assert codes.dtype == np.int8 and np.abs(codes).max((1, 2, 3)).tolist() == [127] * 4
    assert (np.abs(codes * scale - array) <= 0.5001 * scale).all()


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda w, x: jnp.cumsum(x.astype(jnp.float32), 1), "the operation 'cumsum'"),
        (lambda w, x: jax.lax.cond(x.sum() > 1, lambda: 1.0, lambda: 0.0), "decides by its images"),
    ],
)
def test_operation_that_has_no_form(function: Callable, why: str) -> None:
    with pytest.raises(UserError, match=f"{why}.* cannot be exported to ONNX"):
        write_graph(Graph(), lambda w, x: [function(w, x)], WEIGHTS, SHAPE)
