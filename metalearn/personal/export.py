"""Recognisers as files of ONNX: one that takes pixels, and needs nothing of this project.

The file has the body, its views and the head. Its input is `image`, uint8 [N,P,P,3]: any number of
central squares, resized to P x P pixels with antialiasing. Its outputs are `probabilities` [N,C]
and `familiarity` [N], float32. Names of classes, the threshold below which a photograph is unknown
and P are in its metadata.
"""

import json
from pathlib import Path
from typing import Any

from metalearn.errors import UserError
from metalearn.files import write_whole
from metalearn.personal.export_function import function_of
from metalearn.personal.export_graph import OPSET, Graph, Value
from metalearn.personal.export_walk import write_graph
from metalearn.personal.fitted import Fitted
from metalearn.runtime import commit

INPUT = "image"
OUTPUTS = ("probabilities", "familiarity")
CONTRACT = (
    "image: uint8 [N,{size},{size},3], RGB. Turn the photo upright, cut out its central square, "
    "resize it to {size} x {size} with antialiasing (Pillow: BICUBIC)."
)
IR = 9  # of files: onnxruntime reads it from 1.16


def needed(name: str) -> Any:
    """A package that only exporting needs.

    Raises:
      UserError: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"exporting needs the package {name}: python -m pip install -r requirements-export.txt"
        ) from error


def export_onnx(fitted: Fitted, path: Path, int8: bool = False) -> None:
    """Write a recogniser as ONNX.

    Args:
      fitted: the recogniser.
      path: of the file.
      int8: whether the body's weights are stored in 8 bits, a quarter of the size.

    Raises:
      UserError: the package `onnx` is missing; a body that cannot be exported; or the file cannot
        be written.
    """
    onnx = needed("onnx")
    model = onnx_model(fitted, int8)
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString()
    write_whole(path, lambda file: file.write(data))


def onnx_model(fitted: Fitted, int8: bool = False) -> Any:
    """A recogniser as a `ModelProto`; arguments as of `export_onnx`."""
    helper = needed("onnx.helper")
    exported = function_of(fitted)
    size = exported.pixels
    graph = Graph(int8)
    found = write_graph(graph, exported.function, exported.constants, (size, size, 3))
    names = [
        graph.emit("Identity", [graph.stored(value, tuple(range(len(value.dims))))])
        for value in found
    ]
    nodes = graph.used(names)
    for node in nodes:
        node.output[0] = dict(zip(names, OUTPUTS, strict=True)).get(node.output[0], node.output[0])
    made = helper.make_graph(
        nodes,
        "recogniser",
        [helper.make_tensor_value_info(INPUT, 2, ["N", size, size, 3])],
        [_described(helper, name, value) for name, value in zip(OUTPUTS, found, strict=True)],
        list(graph.initial.values()),
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(made, opset_imports=[opset], ir_version=IR, producer_name="metalearn")
    model.doc_string = CONTRACT.format(size=size)
    helper.set_model_props(model, properties(fitted, int8))
    return model


def _described(helper: Any, name: str, value: Value) -> Any:
    return helper.make_tensor_value_info(name, 1, ["N" if n is None else n for n in value.dims])


def properties(fitted: Fitted, int8: bool) -> dict[str, str]:
    """What the file says of itself, in its metadata."""
    made_of = fitted.model.made_of
    return {
        "classes": json.dumps(fitted.classes, ensure_ascii=False),
        "threshold": repr(fitted.threshold),
        "pixels": str(fitted.model.pixels),
        "input": CONTRACT.format(size=fitted.model.pixels),
        "body": str(made_of["body"]),
        "weights": str(made_of["weights"]),
        "bits": "8" if int8 else "32",
        "made": fitted.made,
        "version": commit(),
    }
