"""Operations of JAX as nodes of ONNX: of each number by itself, sums and maxima.

Each is `(graph, params, values, dims) -> value`, dims being the shape of what it gives.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from metalearn.personal.export_graph import Dims, Graph, Operation, Params, Value


def elementwise(graph: Graph, operation: str, values: list[Value], dims: Dims) -> Value:
    """A node of numbers that belong together; constants and thin values broadcast.

    Args:
      graph: that gets it.
      operation: of ONNX.
      values: scalars, or of the shape `dims`.
      dims: shape of the result.
    """
    tensors = [value for value in values if value.array is None and value.dims]
    order = tensors[0].order if tensors else tuple(range(len(dims)))
    names = [graph.stored(value, order) for value in values]
    thin = all(value.thin for value in tensors)
    return Value(dims, order, graph.emit(operation, names), thin=thin and bool(dims))


def _plain(operation: str) -> Operation:
    """An operation that ONNX has likewise."""

    def write(graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
        return elementwise(graph, operation, values, dims)

    return write


def _then(first: str, *more: str) -> Operation:
    """Several of ONNX, one after the other."""

    def write(graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
        found = elementwise(graph, first, values, dims)
        for operation in more:
            found = replace(found, name=graph.emit(operation, [found.name]))
        return found

    return write


def _same(graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
    return values[0]


def _square(graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
    return elementwise(graph, "Mul", [values[0], values[0]], dims)


def _power(graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
    exponent = _scalar(float(params["y"]))
    return elementwise(graph, "Pow", [values[0], exponent], dims)


def _erfc(graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
    return elementwise(graph, "Sub", [_scalar(1), elementwise(graph, "Erf", values, dims)], dims)


def _scalar(number: float) -> Value:
    return Value((), (), array=np.array(number, np.float32))


def _select(graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
    (which, no, yes) = values
    return elementwise(graph, "Where", [which, yes, no], dims)


def _cast(graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
    from onnx import helper

    kind = helper.np_dtype_to_tensor_dtype(np.dtype(params["new_dtype"]))
    (value,) = values
    name = graph.emit("Cast", [graph.stored(value, value.order)], to=kind)
    return Value(dims, value.order, name, thin=value.thin)


def _add(graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
    """A sum; of a convolution and a number for each channel, the convolution with its bias."""
    for value, other in (values, values[::-1]):
        node = graph.nodes.get(value.name)
        if node is None or node.op_type != "Conv" or len(node.input) != 2 or other.array is None:
            continue
        array = other.array
        channels = dims[value.order[1]]
        if array.ndim == len(dims) and array.size == array.shape[value.order[1]] == channels:
            bias = graph.number(array.reshape(-1), other.label)
            again = {one.name: list(one.ints) or one.i for one in node.attribute}
            return replace(value, name=graph.emit("Conv", [*node.input, bias], **again))
    return elementwise(graph, "Add", values, dims)


def _bound(below: bool, graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
    """A maximum or minimum; with a constant, `Relu` or one `Clip` for both bounds."""
    number = next((v for v in values if v.array is not None and v.array.size == 1), None)
    tensor = next((v for v in values if v.array is None), None)
    if number is None or tensor is None or tensor.dims != dims:
        return elementwise(graph, "Max" if below else "Min", values, dims)
    assert number.array is not None
    bound = graph.number(number.array.reshape(()))
    node = graph.nodes.get(tensor.name)
    if below and float(number.array.reshape(())) == 0:
        name = graph.emit("Relu", [tensor.name])
    elif below:
        name = graph.emit("Clip", [tensor.name, bound])
    elif node is not None and node.op_type == "Relu":
        zero = graph.number(np.zeros((), number.array.dtype))
        name = graph.emit("Clip", [node.input[0], zero, bound])
    else:
        name = graph.emit("Clip", [tensor.name, "", bound])
    return replace(tensor, name=name)


def _reduce(operation: str, graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
    value = graph.full(values[0])
    gone = params["axes"]
    name = graph.stored(value, value.order)
    axes = [value.order.index(i) for i in gone]
    if operation == "ArgMax":
        name = graph.emit(operation, [name], axis=axes[0], keepdims=0)
    else:
        name = graph.emit(operation, [name, graph.integers(axes)], keepdims=0)
    left = [i for i in range(len(value.dims)) if i not in gone]
    order = tuple(left.index(i) for i in value.order if i not in gone)
    found = Value(dims, order, name)
    if operation == "ArgMax":
        return _cast(graph, {"new_dtype": params["index_dtype"]}, [found], dims)
    return found


SIMPLE: dict[str, Operation] = {
    "add": _add,
    "argmax": partial(_reduce, "ArgMax"),
    "convert_element_type": _cast,
    "erfc": _erfc,
    "integer_pow": _power,
    "max": partial(_bound, True),
    "min": partial(_bound, False),
    "ne": _then("Equal", "Not"),
    "reduce_max": partial(_reduce, "ReduceMax"),
    "reduce_min": partial(_reduce, "ReduceMin"),
    "reduce_sum": partial(_reduce, "ReduceSum"),
    "rsqrt": _then("Sqrt", "Reciprocal"),
    "select_n": _select,
    "square": _square,
    **dict.fromkeys(("add_any",), _plain("Add")),
    **dict.fromkeys(("copy", "copy_p", "stop_gradient"), _same),
}
SIMPLE |= {
    name: _plain(operation)
    for name, operation in {
        "abs": "Abs",
        "and": "And",
        "div": "Div",
        "eq": "Equal",
        "erf": "Erf",
        "exp": "Exp",
        "ge": "GreaterOrEqual",
        "gt": "Greater",
        "le": "LessOrEqual",
        "log": "Log",
        "logistic": "Sigmoid",
        "lt": "Less",
        "mul": "Mul",
        "neg": "Neg",
        "not": "Not",
        "or": "Or",
        "round": "Round",
        "sqrt": "Sqrt",
        "sub": "Sub",
        "tanh": "Tanh",
    }.items()
}
