"""An ONNX graph while it is written, and the values in it.

A value has its axes in any order, and broadcasts when it is used: so a graph for images [N,H,W,Ch]
becomes one of convolutions [N,Ch,H,W] with no transposition between them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metalearn.errors import UserError

OPSET = 18
Dims = tuple[int | None, ...]  # None: the number of images, or a multiple of it


@dataclass(frozen=True)
class Value:
    """An array of a traced function, as the graph has it.

    Attributes:
      dims: its shape.
      order: axis i of what is stored is axis order[i] of the array.
      name: of the graph's tensor; empty for a constant.
      array: a constant's numbers, in the array's own order of axes; None else.
      thin: whether what is stored may have length 1 where `dims` has more.
      label: path of the weights that a constant is; empty for others.
    """

    dims: Dims
    order: tuple[int, ...]
    name: str = ""
    array: np.ndarray | None = None
    thin: bool = False
    label: str = ""

    @property
    def numbers(self) -> np.ndarray:
        """All numbers of a constant whose shape is known."""
        assert self.array is not None
        return np.broadcast_to(self.array, [n for n in self.dims if n is not None])


def constant(array: np.ndarray, label: str = "") -> Value:
    """A value that is known."""
    return Value(array.shape, tuple(range(array.ndim)), array=array, label=label)


class Graph:
    """Nodes and initial values, in the order in which they were made.

    Args:
      int8: whether weights of convolutions and matrices are stored in 8 bits.
    """

    def __init__(self, int8: bool = False):
        self.int8 = int8
        self.nodes: dict[str, Any] = {}  # by the one output of each
        self.initial: dict[str, Any] = {}
        self._known: dict[tuple, str] = {}
        self._rounded: dict[tuple[str, str], str] = {}

    def emit(self, operation: str, inputs: Sequence[str], **attributes: object) -> str:
        """A node; the name of its output."""
        from onnx import helper

        name = f"{operation.lower()}_{len(self.nodes)}"
        self.nodes[name] = helper.make_node(operation, list(inputs), [name], name, **attributes)
        return name

    def number(self, array: np.ndarray, label: str = "") -> str:
        """The name of an initial value; equal ones are stored once."""
        from onnx import numpy_helper

        array = np.ascontiguousarray(array)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            name = f"{label or 'constant'}.{len(self.initial)}"
            self.initial[name] = numpy_helper.from_array(array, name)
            self._known[key] = name
        return self._known[key]

    def integers(self, numbers: Iterable[int]) -> str:
        """The name of a list of integers."""
        return self.number(np.array(list(numbers), np.int64))

    def weights(self, array: np.ndarray, label: str, axis: int) -> str:
        """The name of weights, in 8 bits where the graph's are.

        Each output channel has a scale of its own: its largest weight becomes 127.

        Args:
          array: float32.
          label: their path; only the body's weights are rounded.
          axis: of output channels.
        """
        if not self.int8 or not label:
            return self.number(array, label)
        others = tuple(i for i in range(array.ndim) if i != axis)
        largest = np.abs(array).max(others, keepdims=True)
        scale = (np.maximum(largest, np.finfo(np.float32).tiny) / 127).astype(np.float32)
        codes = self.number(np.rint(array / scale).astype(np.int8), label)
        both = (codes, self.number(scale))
        if both not in self._rounded:
            # Not DequantizeLinear, which onnxruntime computes for every photo, 38 ms in place of
            # 12: these two it computes once, when it loads the file
            cast = self.emit("Cast", [codes], to=1)
            self._rounded[both] = self.emit("Mul", [cast, both[1]])
        return self._rounded[both]

    def stored(self, value: Value, order: tuple[int, ...]) -> str:
        """The name of a value whose axes are in this order; a scalar stays one."""
        if value.array is not None:
            fits = value.array.ndim == len(order)
            array = value.array.transpose(order) if fits else value.array
            return self.number(array, value.label)
        if value.order == order or not value.dims:
            return value.name
        return self.emit("Transpose", [value.name], perm=[value.order.index(i) for i in order])

    def full(self, value: Value, image: str = "image") -> Value:
        """A value that is stored with all its numbers.

        Args:
          value: that perhaps broadcasts.
          image: tensor whose first axis is the number of images.
        """
        if not value.thin:
            return value
        if value.array is not None and None not in value.dims:
            return replace(value, array=value.numbers, thin=False)
        if value.array is not None:
            order = tuple(range(len(value.dims)))
            value = replace(value, name=self.stored(value, order), order=order, array=None)
        one_by_one = [value.dims[i] for i in value.order]
        batch = self.emit("Shape", [image], start=0, end=1)
        parts = [batch if n is None else self.integers([n]) for n in one_by_one]
        shape = self.emit("Concat", parts, axis=0)
        return replace(value, name=self.emit("Expand", [value.name, shape]), thin=False)

    def give(self, name: str, value: Value) -> None:
        """Make a value an output of this name."""
        from onnx import helper

        inside = self.stored(self.full(value), tuple(range(len(value.dims))))
        self.nodes[name] = helper.make_node("Identity", [inside], [name], name)

    def used(self, outputs: Sequence[str]) -> list[Any]:
        """The nodes that these depend on; the initial values that are not needed are dropped."""
        needed = set(outputs)
        nodes = []
        for name, node in reversed(self.nodes.items()):
            if name in needed:
                needed.update(node.input)
                nodes.append(node)
        self.initial = {name: x for name, x in self.initial.items() if name in needed}
        return nodes[::-1]


Params = dict[str, Any]
# What writes an operation of JAX: given its params, its inputs, the shape of what it gives
Operation = Callable[[Graph, Params, list[Value], Dims], Value]


def cannot(what: str) -> UserError:
    """The error of a computation that has no form in the file."""
    return UserError(f"{what} cannot be exported to ONNX: choose another body (--backbone)")
