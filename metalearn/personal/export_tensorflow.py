"""Recognisers as a SavedModel or for TFLite (LiteRT), by TensorFlow and `jax2tf`."""

import json
import os
import shutil
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import jax

from metalearn.errors import UserError
from metalearn.files import write_text, write_whole
from metalearn.personal.export import INPUT, OUTPUTS, TENSORFLOW, about, needed
from metalearn.personal.export_function import Constants, Exported, function_of
from metalearn.personal.fitted import Fitted
from metalearn.types import Array

ABOUT = "recogniser.json"
LABELS = "labels.txt"  # what readers of TFLite's metadata look for


def write_savedmodel(fitted: Fitted, path: Path, int8: bool) -> None:
    """Write a recogniser as a folder of TensorFlow, for any number of images at once.

    Beside it lies `recogniser.json`, with what `about` says. It runs on a CPU or a GPU of NVIDIA.

    Args:
      fitted: the recogniser.
      path: of the folder, which is not there yet.
      int8: has to be false: TensorFlow keeps weights of a SavedModel in 32 bits.

    Raises:
      UserError: as `metalearn.personal.export.export`.
    """
    if int8:
        raise UserError("a SavedModel has no weights in 8 bits: take --format=tflite or onnx")
    if os.path.lexists(path):
        raise UserError(f"{path} is there already: give --out the name of a new folder")
    tf = _tensorflow()
    exported = function_of(fitted)
    (module, concrete) = _traced(tf, exported, None, ("cpu", "cuda"))
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        tf.saved_model.save(module, str(part), signatures=concrete)
        write_text(part / ABOUT, _as_json(about(fitted, int8)))
        os.replace(part, path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; choose another folder"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_tflite(fitted: Fitted, path: Path, int8: bool) -> None:
    """Write a recogniser for TFLite, for one image at a time.

    The file is a zip archive as well, as metadata of TFLite are: with the classes, a line each, in
    `labels.txt`, and what `about` says in `recogniser.json`.

    Args:
      fitted: the recogniser.
      path: of the file.
      int8: whether weights are stored in 8 bits; they are multiplied so too.

    Raises:
      UserError: as `metalearn.personal.export.export`.
    """
    tf = _tensorflow()
    # In the forms of an accelerator, which are convolutions of TFLite; a CPU's would be sums
    (module, concrete) = _traced(tf, function_of(fitted), 1, ("tpu",))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    try:
        data = converter.convert()
    except Exception as error:  # of many types, with the text of a compiler
        why = str(error).strip().splitlines()[0]
        raise UserError(
            f"TensorFlow cannot convert this recogniser to TFLite ({why}): take --format=onnx"
        ) from error
    write_whole(path, partial(_put, data, about(fitted, int8, "1"), fitted.classes))


def _put(data: bytes, said: dict[str, str], classes: tuple[str, ...], file: Any) -> None:
    file.write(data)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(LABELS, "\n".join(classes) + "\n")
        archive.writestr(ABOUT, _as_json(said))


def _as_json(said: dict[str, str]) -> str:
    return json.dumps(said, indent=1, ensure_ascii=False) + "\n"


def _tensorflow() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # else it tells of every library it misses
    return needed("tensorflow")


def _traced(
    tf: Any, exported: Exported, number: int | None, platforms: tuple[str, ...]
) -> tuple[Any, Any]:
    """A module of TensorFlow and its one function.

    Args:
      tf: TensorFlow.
      exported: the recogniser.
      number: of images at once; None for any.
      platforms: whose forms it gets.
    """
    try:
        from jax.experimental import jax2tf
    except ImportError as error:
        raise UserError(
            f"jax {jax.__version__} cannot write for TensorFlow ({error}): install "
            f"{TENSORFLOW}, or take --format=onnx"
        ) from error

    def function(image: Array) -> dict[str, Array]:
        constants: Constants = exported.constants
        return dict(zip(OUTPUTS, exported.function(constants, image), strict=True))

    size = exported.pixels
    converted = jax2tf.convert(
        function,
        polymorphic_shapes=None if number else [f"(n, {size}, {size}, 3)"],
        native_serialization_platforms=platforms,
    )
    images = tf.TensorSpec([number, size, size, 3], tf.uint8, name=INPUT)
    module = tf.Module()
    module.recognise = tf.function(converted, autograph=False, input_signature=[images])
    return module, module.recognise.get_concrete_function()
