"""Weights that Keras saved, read without Keras.

Three forms: `.keras` (an archive), `.weights.h5` of Keras 3, and the `.h5` of older ones, which
published weights have. Arrays are named LAYER/POSITION, the position among the layer's weights:
kernel and bias, or scale, shift, mean and variance as far as a layer has them.
"""

import io
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from metalearn.errors import UserError
from metalearn.models.weights import Tensors, check_entries, damaged

BROKEN = (
    OSError,
    KeyError,
    ValueError,
    TypeError,
    RuntimeError,
    AttributeError,
    MemoryError,
)
NUMBERS = "fiub"  # the kinds of arrays that weights are
# Layers that are given no name are numbered on through a whole session
NUMBERED = re.compile(r"(conv2d|batch_normalization)(?:_(\d+))?")


def read_h5(path: Path) -> Tensors:
    """The arrays of an HDF5 file of Keras.

    Raises:
      UserError: a file that is damaged, or not of Keras.
    """
    return _read(path, path, path.stat().st_size)


def read_keras(path: Path) -> Tensors:
    """The arrays of a `.keras` archive.

    Raises:
      UserError: a file that is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            check_entries(archive, ["model.weights.h5"], path)
            content = archive.read("model.weights.h5")
    except (zipfile.BadZipFile, zlib.error, EOFError, MemoryError, OSError, RuntimeError) as error:
        raise damaged(path, "an archive that is cut short, or locked") from error
    return _read(path, io.BytesIO(content), len(content))


def _read(path: Path, file: Any, size: int) -> Tensors:
    """The arrays of an HDF5 file of so many bytes."""
    try:
        import h5py
    except ImportError as error:
        raise UserError(f"weights {path} need h5py: run `pip install h5py`") from error
    try:
        with h5py.File(file, "r") as content:
            groups = content["model_weights"] if "model_weights" in content else content
            if "layer_names" in groups.attrs:
                found = _older(groups)
            else:
                found = _newer(content["layers"], path) if "layers" in content else {}
            arrays = _arrays(found, size)
    except BROKEN as error:
        raise damaged(path, "not whole as HDF5 of Keras") from error
    if not arrays:
        raise UserError(f"{path} holds no layers of Keras: save a model's weights")
    return _renumbered(arrays)


def _arrays(found: dict[str, Any], size: int) -> Tensors:
    """The numbers of datasets, which a file may say to be larger than it is.

    Raises:
      ValueError: they are, or they are no numbers.
    """
    if sum(dataset.nbytes for dataset in found.values()) > size:
        raise ValueError("arrays larger than their file")
    if any(dataset.dtype.kind not in NUMBERS for dataset in found.values()):
        raise ValueError("arrays of no numbers")
    return {name: np.asarray(dataset) for name, dataset in found.items()}


def _older(groups: Any) -> dict[str, Any]:
    """Datasets of layers, which list the paths of their weights."""
    return {
        f"{layer}/{i}": groups[layer][name]
        for layer in map(_text, groups.attrs["layer_names"])
        for i, name in enumerate(map(_text, groups[layer].attrs["weight_names"]))
    }


def _newer(groups: Any, path: Path) -> dict[str, Any]:
    """Datasets of layers, which are stored by kind and number.

    Their own name is an attribute of their weights.
    """
    weights = [group["vars"] for group in groups.values() if "vars" in group]
    if any("name" not in group.attrs for group in weights if len(group)):
        raise UserError(
            f"weights {path} were saved by an early Keras 3, which left out the layers' names: "
            "load and save them with a later one"
        )
    return {
        f"{_text(group.attrs['name'])}/{i}": array
        for group in weights
        for i, array in group.items()
    }


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _renumbered(tensors: Tensors) -> Tensors:
    """Numbered layers counted from the first, which has no number."""
    layers = {key.rpartition("/")[0] for key in tensors}
    counted = [found for found in map(NUMBERED.fullmatch, layers) if found]
    names: dict[str, str] = {}
    for kind in {found[1] for found in counted}:
        numbers = sorted(int(found[2] or 0) for found in counted if found[1] == kind)
        for i, number in enumerate(numbers):
            old = f"{kind}_{number}" if number else kind
            names[old] = f"{kind}_{i}" if i else kind
    return {_renamed(key, names): value for key, value in tensors.items()}


def _renamed(key: str, names: dict[str, str]) -> str:
    (layer, _, position) = key.rpartition("/")
    return f"{names.get(layer, layer)}/{position}"
