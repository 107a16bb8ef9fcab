"""Recognisers as a SavedModel or for TFLite (LiteRT), by TensorFlow and `jax2tf`."""

import json
import os
import shutil
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from metalearn.errors import UserError
from metalearn.files import write_text, write_whole
from metalearn.personal.export import INPUT, OUTPUTS, about, needed
from metalearn.personal.export_function import Constants, Exported, function_of
from metalearn.personal.fitted import Fitted
from metalearn.types import Array

ABOUT = "recogniser.json"
LABELS = "labels.txt"  # what readers of TFLite's metadata look for


def write_savedmodel(fitted: Fitted, path: Path, int8: bool) -> None:
    """Write a recogniser as a folder of TensorFlow, for any number of images at once.

    Beside it lies `recogniser.json`, with what `about` says. It is written for a CPU and a GPU of
    NVIDIA, and run once before it is kept.

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
    (module, concrete) = _any_number(tf, function_of(fitted))
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        tf.saved_model.save(module, str(part), signatures=concrete)
        _check_it_runs(tf, part, fitted.model.pixels)
        write_text(part / ABOUT, _as_json(about(fitted, int8)))
        os.replace(part, path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; choose another folder"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check_it_runs(tf: Any, path: Path, pixels: int) -> None:
    """Raise UserError where this TensorFlow is too old for what this JAX writes."""
    run = tf.saved_model.load(str(path)).signatures["serving_default"]
    try:
        run(**{INPUT: tf.constant(np.zeros((1, pixels, pixels, 3), np.uint8))})
    except tf.errors.OpError as error:
        raise UserError(
            f"TensorFlow {tf.__version__} cannot run what jax {jax.__version__} writes: install a "
            "newer TensorFlow or an older jax, or take --format=onnx"
        ) from error


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
    (module, concrete) = _one_at_a_time(tf, function_of(fitted))
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


def _any_number(tf: Any, exported: Exported) -> tuple[Any, Any]:
    """A module of TensorFlow with the weights as its variables, and its one function."""
    jax2tf = _jax2tf()
    size = exported.pixels
    converted = jax2tf.convert(
        partial(_by_name, exported),
        polymorphic_shapes=[None, f"(n, {size}, {size}, 3)"],
        native_serialization_platforms=("cpu", "cuda"),
        with_gradient=False,
    )
    module = tf.Module()
    module.weights = {name: tf.Variable(part) for name, part in exported.constants.items()}
    images = tf.TensorSpec([None, size, size, 3], tf.uint8, name=INPUT)

    def recognise(image: Any) -> Any:
        return converted(module.weights, image)

    module.recognise = tf.function(recognise, autograph=False, input_signature=[images])
    return module, module.recognise.get_concrete_function()


def _one_at_a_time(tf: Any, exported: Exported) -> tuple[Any, Any]:
    """A module of TensorFlow with the weights as constants, and its one function."""
    # In the forms of an accelerator, which are convolutions of TFLite; a CPU's would be sums
    converted = _jax2tf().convert(
        partial(_by_name, exported, exported.constants),
        native_serialization_platforms=("tpu",),
        with_gradient=False,
    )
    size = exported.pixels
    image = tf.TensorSpec([1, size, size, 3], tf.uint8, name=INPUT)
    module = tf.Module()
    module.recognise = tf.function(converted, autograph=False, input_signature=[image])
    return module, module.recognise.get_concrete_function()


def _by_name(exported: Exported, constants: Constants, image: Array) -> dict[str, Array]:
    return dict(zip(OUTPUTS, exported.function(constants, image), strict=True))


def _jax2tf() -> Any:
    try:
        from jax.experimental import jax2tf
    except ImportError as error:
        raise UserError(
            f"jax {jax.__version__} cannot write for TensorFlow ({error}): take --format=onnx"
        ) from error
    return jax2tf
