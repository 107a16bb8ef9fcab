"""Weights that Keras saved, read without Keras.

Three forms: `.keras` (an archive), `.weights.h5` of Keras 3, and the `.h5` of older ones, which
published weights have. Arrays are named LAYER/POSITION, the position among the layer's weights:
kernel and bias, or scale, shift, mean and variance as far as a layer has them.
"""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from metalearn.errors import UserError
from metalearn.models.weights import Tensors, damaged

BROKEN = (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError)
# Layers that are given no name are numbered on through a whole session
NUMBERED = re.compile(r"(conv2d|batch_normalization)(?:_(\d+))?")


def read_h5(path: Path) -> Tensors:
    """The arrays of an HDF5 file of Keras.

    Raises:
      UserError: a file that is damaged, or not of Keras.
    """
    return _read(path, path)


def read_keras(path: Path) -> Tensors:
    """The arrays of a `.keras` archive.

    Raises:
      UserError: a file that is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            inner = io.BytesIO(archive.read("model.weights.h5"))
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        raise damaged(path, "an archive that is cut short") from error
    return _read(path, inner)


def _read(path: Path, file: Any) -> Tensors:
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
    except BROKEN as error:
        raise damaged(path, "not whole as HDF5 of Keras") from error
    if not found:
        raise UserError(f"{path} holds no layers of Keras: save a model's weights")
    return _renumbered(found)


def _older(groups: Any) -> Tensors:
    """Layers list the paths of their weights."""
    return {
        f"{layer}/{i}": np.asarray(groups[layer][name])
        for layer in map(_text, groups.attrs["layer_names"])
        for i, name in enumerate(map(_text, groups[layer].attrs["weight_names"]))
    }


def _newer(groups: Any, path: Path) -> Tensors:
    """Layers are stored by kind and number; their own name is an attribute of their weights."""
    weights = [group["vars"] for group in groups.values() if "vars" in group]
    if any("name" not in group.attrs for group in weights if len(group)):
        raise UserError(
            f"weights {path} were saved by an early Keras 3, which left out the layers' names: "
            "load and save them with a later one"
        )
    return {
        f"{_text(group.attrs['name'])}/{i}": np.asarray(array)
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
