"""Convolutions and products of matrices as nodes of ONNX."""

import math
from typing import NamedTuple

from metalearn.personal.export_graph import Dims, Graph, Operation, Params, Value, cannot


class Side(NamedTuple):
    """One factor of a product, and what becomes of its axes.

    Attributes:
      value: the factor.
      shared: axes of both factors and of the result.
      free: axes of the result alone.
      summed: axes that are summed over.
    """

    value: Value
    shared: tuple[int, ...]
    free: tuple[int, ...]
    summed: tuple[int, ...]

    def lengths(self, axes: tuple[int, ...]) -> list[int | None]:
        """Of some axes."""
        return [self.value.dims[i] for i in axes]


def _convolution(graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
    """A convolution; what is stored is [N,Ch,H,W]."""
    (images, kernel) = values
    numbers = params["dimension_numbers"]
    ordinary = set(params["lhs_dilation"]) == {1} and params["batch_group_count"] == 1
    if kernel.array is None or not ordinary:
        raise cannot("a network with a transposed convolution or a kernel that it computes")
    x = graph.stored(graph.full(images), tuple(numbers.lhs_spec))
    w = graph.weights(kernel.array.transpose(numbers.rhs_spec), kernel.label, 0)
    (before, after) = zip(*params["padding"], strict=True)
    name = graph.emit(
        "Conv",
        [x, w],
        strides=list(params["window_strides"]),
        pads=[*before, *after],
        dilations=list(params["rhs_dilation"]),
        group=params["feature_group_count"],
        kernel_shape=[kernel.array.shape[i] for i in numbers.rhs_spec[2:]],
    )
    return Value(dims, tuple(numbers.out_spec), name)


def _product(graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
    """A product summed over any axes: a `MatMul` of what is stored in a fitting order."""
    (over, batch) = params["dimension_numbers"]
    sides = []
    for value, summed, shared in zip(values, over, batch, strict=True):
        free = tuple(i for i in range(len(value.dims)) if i not in (*summed, *shared))
        sides.append(Side(graph.full(value), tuple(shared), free, tuple(summed)))
    # Of a matrix and an array of more axes the matrix comes last, and so does its axis
    turned = not batch[0] and len(sides[0].free) == 1 and len(sides[1].free) > 1
    (left, right) = sides[::-1] if turned else sides
    name = graph.emit("MatMul", [_left(graph, left), _right(graph, right)])
    lengths = [*left.lengths(left.shared), *left.lengths(left.free), *right.lengths(right.free)]
    if len(right.free) != 1 or (left.shared and len(left.free) != 1):
        name = graph.emit("Reshape", [name, _shape(graph, lengths)])
    axes = tuple(range(len(lengths)))
    return Value(dims, (*axes[1:], 0) if turned else axes, name)


def _left(graph: Graph, side: Side) -> str:
    """The name of [shared ..., rows, summed]; of [rows ..., summed] where nothing is shared."""
    if side.shared:
        return _matrices(graph, side, side.shared, (side.free, side.summed))
    return _matrices(graph, side, side.free, (side.summed,))


def _right(graph: Graph, side: Side) -> str:
    """The name of [shared ..., summed, columns]."""
    value = side.value
    if value.array is not None and value.array.ndim == 2 and not side.shared:
        return graph.weights(value.array.transpose(*side.summed, *side.free), value.label, 1)
    return _matrices(graph, side, side.shared, (side.summed, side.free))


def _matrices(
    graph: Graph, side: Side, kept: tuple[int, ...], joined: tuple[tuple[int, ...], ...]
) -> str:
    """The name of a value with some axes as they are, then one for each group of others.

    Args:
      graph: that gets it.
      side: whose value.
      kept: axes that come first.
      joined: groups of axes.
    """
    name = graph.stored(side.value, (*kept, *(i for group in joined for i in group)))
    if all(len(group) == 1 for group in joined):
        return name
    lengths = [*side.lengths(kept), *(_times(side.lengths(group)) for group in joined)]
    return graph.emit("Reshape", [name, _shape(graph, lengths)])


def _times(lengths: list[int | None]) -> int | None:
    return None if None in lengths else math.prod(n for n in lengths if n is not None)


def _shape(graph: Graph, lengths: list[int | None]) -> str:
    return graph.integers(-1 if n is None else n for n in lengths)


PRODUCTS: dict[str, Operation] = {
    "conv_general_dilated": _convolution,
    "dot_general": _product,
}
