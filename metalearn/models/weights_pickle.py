"""What PyTorch pickles in a file of weights, read without executing it.

A pickle is a program: it may call whatever it can name, set attributes of what it has made, and
refer to one object from many others. The reader below knows a handful of names and refuses every
other. What these names stand for builds descriptions of tensors and nothing else, and keeps no
state that a pickle could change.
"""

import collections
import pickle
from textwrap import shorten
from typing import IO, Any, NamedTuple

MOST_AXES = 64  # of a tensor, as NumPy has it
LONGEST = 80  # of a name in a message


class Forbidden(Exception):
    """A pickle names what a file of weights has no use for."""


class Storage(NamedTuple):
    """Numbers that tensors share: their type, and the name under which the file keeps them."""

    dtype: str
    key: str


class Tensor(NamedTuple):
    """A tensor before its numbers are read; offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Kind(NamedTuple):
    """A type of numbers, which pickles give as a class of storages."""

    dtype: str


class _Axes:
    """`torch.Size`: a tuple of few numbers, as a pickle may ask for many copies of it."""

    __slots__ = ()

    def __call__(self, numbers: Any = ()) -> tuple[int, ...]:
        if not isinstance(numbers, tuple | list) or len(numbers) > MOST_AXES:
            raise pickle.UnpicklingError("a size that is none")
        return tuple(numbers)


class _MakesTensor:
    """`torch._utils._rebuild_tensor_v2`; no function, whose attributes a pickle could set."""

    __slots__ = ()

    def __call__(self, storage: Storage, offset: int, shape: Any, strides: Any, *_: Any) -> Tensor:
        return Tensor(storage, offset, AXES(shape), AXES(strides))


class _MakesParameter:
    """`torch._utils._rebuild_parameter`: the tensor itself."""

    __slots__ = ()

    def __call__(self, data: Tensor, *_: Any) -> Tensor:
        return data


AXES = _Axes()
KINDS = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch", "Size"): AXES,
    ("torch._utils", "_rebuild_tensor_v2"): _MakesTensor(),
    ("torch._utils", "_rebuild_parameter"): _MakesParameter(),
    **{("torch", name): Kind(dtype) for name, dtype in KINDS.items()},
}


class _Lines:
    """A file whose lines are whole: the reader in Python would take part of a name for a name."""

    def __init__(self, file: IO[bytes]):
        self.read = file.read
        self._line = file.readline

    def readline(self) -> bytes:
        line = self._line()
        if not line.endswith(b"\n"):
            raise EOFError
        return line


class _Reader(pickle._Unpickler):
    """The reader in Python: that in C makes room for as many objects as a pickle says it has."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise Forbidden(shorten(f"{module}.{name}", LONGEST))
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Storage:
        kind, dtype, key, _, _, *view = pid
        if kind != "storage" or not isinstance(dtype, Kind) or (view and view[0] is not None):
            raise pickle.UnpicklingError("a reference to something else than numbers")
        return Storage(dtype.dtype, name_of(key))


def name_of(key: Any) -> str:
    """The name of some numbers in a file.

    Raises:
      UnpicklingError: it is neither text nor a number: written down, nested tuples that share their
        parts would be longer than any memory.
    """
    if not isinstance(key, str | int):
        raise pickle.UnpicklingError("numbers of no name")
    return str(key)


def load(file: IO[bytes]) -> Any:
    """The next pickle of a file; tensors are `Tensor`.

    Raises:
      Forbidden: it names something else than a file of weights does.
      Exception: it is broken; of many kinds.
    """
    return _Reader(_Lines(file)).load()
