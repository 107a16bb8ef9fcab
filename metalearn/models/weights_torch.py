"""Weights that PyTorch saved, read without PyTorch and without executing what was pickled.

A pickle is a program: it may call whatever it can name. The reader below knows a handful of names
and refuses every other. What these names stand for builds descriptions of tensors and nothing else;
numbers are read afterwards, and a description that points outside its numbers is refused.
"""

import collections
import pickle
import struct
import zipfile
from pathlib import Path
from typing import IO, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from metalearn.errors import UserError
from metalearn.models.weights import Tensors, damaged

MAGIC = 0x1950A86A20F9469CFC6C  # what the older format begins with
# A checkpoint keeps its weights under one of these names, beside the optimiser's and others
WRAPPERS = ("state_dict", "model_state_dict", "model", "teacher")
BROKEN = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)


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


def _tensor(
    storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> Tensor:
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(data: Tensor, *_: Any) -> Tensor:
    return data


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
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    **{("torch", name): Kind(dtype) for name, dtype in KINDS.items()},
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise Forbidden(f"{module}.{name}")
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Storage:
        kind, dtype, key, _, _, *view = pid
        if kind != "storage" or not isinstance(dtype, Kind) or (view and view[0] is not None):
            raise pickle.UnpicklingError("a reference to something else than numbers")
        return Storage(dtype.dtype, str(key))


def read_zipped(path: Path) -> Tensors:
    """The arrays of a file that `torch.save` wrote since PyTorch 1.6, an archive.

    Raises:
      UserError: a file that is damaged, holds code or no weights.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            with archive.open(pickled) as file:
                described = _described(_Reader(file).load(), path)
            folder = pickled.removesuffix("data.pkl")
            keys = {tensor.storage.key for tensor in described.values()}
            numbers = {key: archive.read(f"{folder}data/{key}") for key in keys}
        return {name: _array(tensor, numbers) for name, tensor in described.items()}
    except Forbidden as error:
        raise _refused(path, error) from error
    except BROKEN as error:
        raise damaged(path, "not whole as an archive of PyTorch") from error


def read_legacy(path: Path) -> Tensors:
    """The arrays of a file that `torch.save` wrote before PyTorch 1.6: pickles, then numbers.

    Raises:
      UserError: a file that is damaged, holds code or no weights.
    """
    try:
        with path.open("rb") as file:
            if _Reader(file).load() != MAGIC:
                raise UserError(f"{path} is a pickle, but not of PyTorch: give a file of weights")
            for _ in ("protocol", "system"):
                _Reader(file).load()
            described = _described(_Reader(file).load(), path)
            sizes = {t.storage.key: np_dtype(t.storage.dtype).itemsize for t in described.values()}
            numbers = {str(k): _stored(file, sizes.get(str(k))) for k in _Reader(file).load()}
        return {name: _array(tensor, numbers) for name, tensor in described.items()}
    except Forbidden as error:
        raise _refused(path, error) from error
    except BROKEN as error:
        raise damaged(path, "not whole as a file of PyTorch") from error


def _refused(path: Path, error: Forbidden) -> UserError:
    return UserError(
        f"weights {path} hold code ({error}), which is not run: save them as safetensors"
    )


def _described(saved: Any, path: Path) -> dict[str, Tensor]:
    """The tensors of what was saved, which may be wrapped in a checkpoint."""
    for name in WRAPPERS:
        if isinstance(saved, dict) and isinstance(saved.get(name), dict):
            saved = saved[name]
    found = saved.items() if isinstance(saved, dict) else ()
    tensors = {key: value for key, value in found if isinstance(value, Tensor)}
    if not tensors:
        raise UserError(f"{path} holds no weights by name: save a network's `state_dict()`")
    return tensors


def np_dtype(name: str) -> np.dtype:
    """NumPy's type of that name; bfloat16 is JAX's."""
    return np.dtype(jnp.bfloat16) if name == "bfloat16" else np.dtype(name)


def _stored(file: IO[bytes], itemsize: int | None) -> bytes:
    """The next numbers of the older format: their count, then themselves."""
    if itemsize is None:
        raise ValueError("numbers of no tensor")
    (count,) = struct.unpack("<q", file.read(8))
    size = count * itemsize
    found = file.read(size) if count >= 0 else b""
    if len(found) != size:
        raise EOFError
    return found


def _array(tensor: Tensor, numbers: dict[str, bytes]) -> np.ndarray:
    """The numbers of a tensor, copied; those outside its storage are nobody's to read."""
    flat = np.frombuffer(numbers[tensor.storage.key], np_dtype(tensor.storage.dtype))
    shape = tuple(map(int, tensor.shape))
    strides = tuple(map(int, tensor.strides))
    if len(shape) != len(strides) or min((tensor.offset, *shape, *strides)) < 0:
        raise ValueError("a tensor of no shape")
    count = int(np.prod(shape, dtype=object))
    last = tensor.offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    if count > flat.size or (count and last >= flat.size):
        raise ValueError("a tensor larger than its numbers")
    if not count:
        return np.zeros(shape, flat.dtype)
    bytes_apart = tuple(s * flat.itemsize for s in strides)
    view = np.lib.stride_tricks.as_strided(flat[tensor.offset :], shape, bytes_apart)
    return view.copy()
