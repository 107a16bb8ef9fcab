"""Weights that PyTorch saved, read without PyTorch and without executing what was pickled.

Pickles describe the tensors, see `metalearn.models.weights_pickle`. Their numbers are read
afterwards; a description that points outside its numbers is refused, and so is a file that says it
holds more than its own size.
"""

import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import jax.numpy as jnp
import numpy as np

from metalearn.errors import UserError
from metalearn.models.weights import Tensors, check_entries, damaged
from metalearn.models.weights_pickle import Forbidden, Tensor, load, name_of

MAGIC = 0x1950A86A20F9469CFC6C  # what the older format begins with
# A checkpoint keeps its weights under one of these names, beside the optimiser's and others
WRAPPERS = ("state_dict", "model_state_dict", "model", "teacher")
MOST_SHARED = 4  # times as many numbers of tensors as there are: some may share theirs
BROKEN = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    zlib.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def read_zipped(path: Path) -> Tensors:
    """The arrays of a file that `torch.save` wrote since PyTorch 1.6, an archive.

    Raises:
      UserError: a file that is damaged, holds code or no weights.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            check_entries(archive, [pickled], path)
            with archive.open(pickled) as file:
                described = _described(load(file), path)
            folder = pickled.removesuffix("data.pkl")
            keys = {tensor.storage.key for tensor in described.values()}
            entries = {key: f"{folder}data/{key}" for key in keys}
            check_entries(archive, [pickled, *entries.values()], path)
            numbers = {key: archive.read(entry) for key, entry in entries.items()}
        return _arrays(described, numbers)
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
            if load(file) != MAGIC:
                raise UserError(f"{path} is a pickle, but not of PyTorch: give a file of weights")
            for _ in ("protocol", "system"):
                load(file)
            described = _described(load(file), path)
            sizes = {t.storage.key: np_dtype(t.storage.dtype).itemsize for t in described.values()}
            keys = [name_of(key) for key in load(file)]
            numbers = {key: _stored(file, sizes.get(key)) for key in keys}
        return _arrays(described, numbers)
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
    tensors = {k: v for k, v in found if isinstance(k, str) and isinstance(v, Tensor)}
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
    there = os.fstat(file.fileno()).st_size - file.tell()
    found = file.read(size) if 0 <= size <= there else b""
    if len(found) != size:
        raise EOFError
    return found


def _arrays(described: dict[str, Tensor], numbers: dict[str, bytes]) -> Tensors:
    """The tensors' numbers.

    Raises:
      ValueError: many tensors of the same numbers, which would be copied for each.
    """
    there = sum(map(len, numbers.values()))
    found: Tensors = {}
    total = 0
    for name, tensor in described.items():
        found[name] = _array(tensor, numbers)
        total += found[name].nbytes
        if total > MOST_SHARED * there:
            raise ValueError("more tensors than numbers")
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
