"""From a function of images, traced by JAX, to a graph of ONNX.

The function is traced for two numbers of images, and both traces are read in step: a length that
differs is the number of images, which the graph leaves open. What depends on no image is computed
here. Of forms for several platforms the graph gets the one that is not a CPU's.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from metalearn.personal.export_graph import Graph, Value, cannot, constant
from metalearn.personal.export_ops import SIMPLE
from metalearn.personal.export_products import PRODUCTS
from metalearn.personal.export_shapes import SHAPES

NUMBERS = (2, 3)  # of images, traced for
OPERATIONS = SIMPLE | SHAPES | PRODUCTS
# Operations that are a function of their own, and where they keep it
CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
}


def write_graph(
    graph: Graph,
    function: Callable[..., Any],
    constants: dict[str, np.ndarray],
    shape: tuple[int, ...],
) -> list[Value]:
    """Write a function into a graph; its outputs.

    Args:
      graph: with an input `image`.
      function: `(constants, images uint8 [N,*shape]) -> outputs`.
      constants: by label.
      shape: of an image.
    """
    traces = [
        jax.make_jaxpr(function)(constants, jax.ShapeDtypeStruct((number, *shape), np.uint8))
        for number in NUMBERS
    ]
    # The order of a dict's leaves is that of its sorted keys
    values = [constant(constants[label], label) for label in sorted(constants)]
    images = Value((None, *shape), tuple(range(len(shape) + 1)), name="image")
    return _walk(graph, traces, [*values, images])


def _walk(graph: Graph, traces: Sequence[ClosedJaxpr], values: Sequence[Value]) -> list[Value]:
    """The outputs of a function that was traced twice, given its inputs."""
    (first, second) = traces
    known: dict[Any, Value] = {}
    known.update(zip(first.jaxpr.constvars, map(_constant, first.consts), strict=True))
    known.update(zip(first.jaxpr.invars, values, strict=True))

    def read(place: Any) -> Value:
        return _constant(place.val) if isinstance(place, Literal) else known[place]

    for equations in zip(first.jaxpr.eqns, second.jaxpr.eqns, strict=True):
        given = [read(place) for place in equations[0].invars]
        outputs = _outputs(graph, equations, given)
        known.update(zip(equations[0].outvars, outputs, strict=True))
    return [read(place) for place in first.jaxpr.outvars]


def _constant(array: Any) -> Value:
    return constant(np.asarray(array))


def _outputs(graph: Graph, equations: Sequence[Any], given: list[Value]) -> list[Value]:
    """What an operation gives."""
    (equation, other) = equations
    name = equation.primitive.name
    if name == "platform_index":
        return [_constant(equation.params["platforms"].index(None))]
    if name == "cond":
        return _walk(graph, [_branch(one, given[0]) for one in equations], given[1:])
    if name in CALLS:
        return _walk(graph, [_called(one.params[CALLS[name]]) for one in equations], given)
    if name == "optimization_barrier":
        return given
    dims = [
        tuple(n if n == m else None for n, m in zip(one.aval.shape, two.aval.shape, strict=True))
        for one, two in zip(equation.outvars, other.outvars, strict=True)
    ]
    if name != "broadcast_in_dim" and None not in dims[0] and _are_known(given):
        return _computed(equation, given)
    if name not in OPERATIONS:
        raise cannot(f"a network with the operation '{name}'")
    return [replace(OPERATIONS[name](graph, equation.params, given, dims[0]), dims=dims[0])]


def _branch(equation: Any, index: Value) -> ClosedJaxpr:
    if index.array is None:
        raise cannot("a network that decides by its images what it computes")
    return _called(equation.params["branches"][int(index.array)])


def _called(function: Any) -> ClosedJaxpr:
    return function if isinstance(function, ClosedJaxpr) else ClosedJaxpr(function, ())


def _are_known(values: Sequence[Value]) -> bool:
    return all(value.array is not None and None not in value.dims for value in values)


def _computed(equation: Any, given: Sequence[Value]) -> list[Value]:
    """What an operation on constants gives."""
    found = equation.primitive.bind(*(value.numbers for value in given), **equation.params)
    several = found if equation.primitive.multiple_results else [found]
    label = given[0].label if len(given) == 1 else ""
    return [constant(np.asarray(one), label) for one in several]
