"""Weights of published networks, read into arrays by name. Nothing in a file is ever executed.

The kind of a file is told by its first bytes, not by its name:

    safetensors         the library of that name
    PyTorch .pth        both formats, by `metalearn.models.weights_torch`
    Keras .h5, .keras   by `metalearn.models.weights_keras`
"""

import hashlib
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from metalearn.errors import UserError

Tensors = dict[str, np.ndarray]

HDF5 = b"\x89HDF\r\n\x1a\n"
PICKLES = tuple(b"\x80" + bytes([protocol]) for protocol in (2, 3, 4, 5))


def read_weights(path: Path) -> Tensors:
    """The arrays of a file of weights, by the names that the file gives them.

    Raises:
      UserError: no such file, one that is cut short, of no known kind, or that holds code.
    """
    start = _first_bytes(path)
    if start.startswith(b"PK"):
        return _read_zip(path)
    if start.startswith(HDF5):
        from metalearn.models.weights_keras import read_h5

        return read_h5(path)
    if start.startswith(PICKLES):
        from metalearn.models.weights_torch import read_legacy

        return read_legacy(path)
    if start[8:9] == b"{":
        return _read_safetensors(path)
    raise UserError(
        f"{path} is no file of weights: give one of safetensors, PyTorch (.pth) or Keras (.h5)"
    )


def sha256_of(path: Path) -> str:
    """The SHA-256 digest of a file, 64 hexadecimal digits.

    Raises:
      UserError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"weights {path} cannot be read ({error.strerror}): give the path of a file")


def damaged(path: Path, what: str) -> UserError:
    """What to say of a file that begins as it should and goes on otherwise."""
    return UserError(f"weights {path} are damaged ({what}): get the file again")


def check_entries(archive: zipfile.ZipFile, names: Iterable[str], path: Path) -> None:
    """See that entries of an archive are no larger than its file, as they are not compressed.

    Raises:
      UserError: they would unfold to more.
      KeyError: there is no such entry.
    """
    size = sum(archive.getinfo(name).file_size for name in names)
    if size > path.stat().st_size:
        raise UserError(
            f"weights {path} are compressed, to unfold to {size:,} bytes: save them again by the "
            "library that made them, which does not compress"
        )


def _read_zip(path: Path) -> Tensors:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise damaged(path, "an archive that is cut short") from error
    if "model.weights.h5" in names:
        from metalearn.models.weights_keras import read_keras

        return read_keras(path)
    if any(name.endswith("data.pkl") for name in names):
        from metalearn.models.weights_torch import read_zipped

        return read_zipped(path)
    raise UserError(
        f"{path} is an archive of something else: give one of PyTorch (.pth) or Keras (.keras)"
    )


def _read_safetensors(path: Path) -> Tensors:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, KeyError, MemoryError, TypeError, ValueError) as error:
        raise damaged(path, "not whole as safetensors") from error
