"""What moves numbers, as nodes of ONNX: to other shapes and places."""

from dataclasses import replace

from metalearn.personal.export_graph import Dims, Graph, Operation, Params, Value, cannot


def _transpose(graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
    (value,) = values
    permutation = list(params["permutation"])
    if value.array is not None:
        return replace(value, dims=dims, array=value.array.transpose(permutation))
    return replace(value, dims=dims, order=tuple(permutation.index(i) for i in value.order))


def reshaped(graph: Graph, value: Value, shape: Dims) -> Value:
    """A value with another shape, of as many numbers; one length at most is left open."""
    if value.dims == shape:
        return value
    if shape.count(None) > 1:
        raise cannot("a network whose arrays have the number of images in two axes")
    order = tuple(range(len(value.dims)))
    tensor = graph.stored(graph.full(value), order)
    target = graph.integers(-1 if n is None else n for n in shape)
    name = graph.emit("Reshape", [tensor, target])
    return Value(shape, tuple(range(len(shape))), name)


def _reshape(graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
    return reshaped(graph, values[0], dims)


def _broadcast(graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
    (value,) = values
    own = params["broadcast_dimensions"]
    shape = tuple(value.dims[own.index(i)] if i in own else 1 for i in range(len(dims)))
    thin = value.thin or shape != dims
    if value.array is not None:
        lengths = [value.array.shape[own.index(i)] if i in own else 1 for i in range(len(dims))]
        array = value.array.reshape(lengths)
        return Value(dims, tuple(range(len(dims))), array=array, thin=thin, label=value.label)
    if len(value.dims) == len(dims):
        return replace(value, dims=dims, thin=thin)
    return replace(reshaped(graph, value, shape), dims=dims, thin=shape != dims)


def _slice(graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
    value = graph.full(values[0])
    strides = params["strides"] or (1,) * len(dims)
    cut = [i for i in range(len(dims)) if dims[i] != value.dims[i]]
    starts = [params["start_indices"][i] for i in cut]
    ends = [params["limit_indices"][i] for i in cut]
    name = graph.stored(value, value.order)
    if cut:
        axes = [value.order.index(i) for i in cut]
        lists = (starts, ends, axes, [strides[i] for i in cut])
        name = graph.emit("Slice", [name, *map(graph.integers, lists)])
    return Value(dims, value.order, name)


def _concatenate(graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
    full = [graph.full(value) for value in values]
    order = next((value.order for value in full if value.array is None), full[0].order)
    names = [graph.stored(value, order) for value in full]
    axis = order.index(params["dimension"])
    return Value(dims, order, graph.emit("Concat", names, axis=axis))


def _stack(graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
    axis = params["axis"]
    shape = (*dims[:axis], 1, *dims[axis + 1 :])
    apart = [reshaped(graph, value, shape) for value in values]
    return _concatenate(graph, {"dimension": axis}, apart, dims)


def _reverse(graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
    (value,) = values
    axes = [value.order.index(i) for i in params["dimensions"]]
    (last, before_first, back) = ([number] * len(axes) for number in (-1, -(2**31), -1))
    lists = (last, before_first, axes, back)
    name = graph.stored(value, value.order)
    return replace(value, name=graph.emit("Slice", [name, *map(graph.integers, lists)]), array=None)


def _pad(graph: Graph, params: Params, values: list[Value], dims: Dims) -> Value:
    value = graph.full(values[0])
    around = [params["padding_config"][i] for i in value.order]
    if any(between for (_, _, between) in around):
        raise cannot("a network that pads between numbers")
    pads = [low for (low, _, _) in around] + [high for (_, high, _) in around]
    filler = graph.stored(values[1], ())
    name = graph.emit("Pad", [graph.stored(value, value.order), graph.integers(pads), filler])
    return Value(dims, value.order, name)


SHAPES: dict[str, Operation] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "pad": _pad,
    "reshape": _reshape,
    "rev": _reverse,
    "slice": _slice,
    "squeeze": _reshape,
    "stack": _stack,
    "transpose": _transpose,
}
