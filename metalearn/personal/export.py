"""Recognisers as files that other programs run: they take pixels, and need nothing of this project.

A file has the body, its views and the head. Its input is `image`, uint8 [N,P,P,3]: central squares
of photographs, resized to P x P pixels with antialiasing. Its outputs are `probabilities` [N,C] and
`familiarity` [N], float32. With it go the names of the classes, the threshold below which a
photograph is unknown, and P.
"""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metalearn.errors import UserError
from metalearn.personal.fitted import Fitted
from metalearn.runtime import commit

INPUT = "image"
OUTPUTS = ("probabilities", "familiarity")
CONTRACT = (
    "image: uint8 [{number},{size},{size},3], RGB. Turn the photo upright, cut out its central "
    "square, resize it to {size} x {size} with antialiasing (Pillow: BICUBIC)."
)
# Package -> what pip is to install
PACKAGES = {
    "onnx": "-r requirements-export.txt",
    "onnxruntime": "-r requirements-export.txt",
    "tensorflow": '"tensorflow>=2.21,<3" (for Python 3.11 to 3.13), or take --format=onnx',
    "ai_edge_litert": "ai-edge-litert",
}
# Format -> the module that writes it: `write(fitted, path, int8)`
WRITERS = {
    "onnx": "metalearn.personal.export_onnx:write_onnx",
    "savedmodel": "metalearn.personal.export_tensorflow:write_savedmodel",
    "tflite": "metalearn.personal.export_tensorflow:write_tflite",
}
FORMATS = tuple(WRITERS)


def needed(name: str) -> Any:
    """A module of a package that only exporting needs.

    Raises:
      UserError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.split(".")[0]
        raise UserError(
            f"exporting needs the package {package} ({error}): "
            f"python -m pip install {PACKAGES[package]}"
        ) from error


def export(fitted: Fitted, path: Path, form: str, int8: bool = False) -> None:
    """Write a recogniser in another format.

    Args:
      fitted: the recogniser.
      path: of the file; of `savedmodel`, of a folder that is not there yet.
      form: one of `FORMATS`.
      int8: whether the body's weights are stored in 8 bits, in a quarter of the space.

    Raises:
      UserError: an unknown format, a package that is not installed, a recogniser or body that
        cannot be exported, or a file that cannot be written.
    """
    if form not in WRITERS:
        raise UserError(f"unknown format '{form}': choose one of {', '.join(FORMATS)}")
    (module, name) = WRITERS[form].split(":")
    write: Callable[[Fitted, Path, bool], None] = getattr(importlib.import_module(module), name)
    write(fitted, path, int8)


def about(fitted: Fitted, int8: bool, number: str = "N") -> dict[str, str]:
    """What a file says of itself.

    Args:
      fitted: the recogniser.
      int8: whether weights have 8 bits.
      number: of images that it takes at once.
    """
    made_of = fitted.model.made_of
    return {
        "classes": json.dumps(fitted.classes, ensure_ascii=False),
        "threshold": repr(fitted.threshold),
        "pixels": str(fitted.model.pixels),
        "input": CONTRACT.format(number=number, size=fitted.model.pixels),
        "body": str(made_of["body"]),
        "weights": str(made_of["weights"]),
        "bits": "8" if int8 else "32",
        "made": fitted.made,
        "version": commit(),
    }
