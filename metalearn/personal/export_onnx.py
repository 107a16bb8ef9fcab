"""Recognisers as files of ONNX, for onnxruntime and what else reads them."""

from pathlib import Path
from typing import Any

from metalearn.files import write_whole
from metalearn.personal.export import INPUT, OUTPUTS, about, needed
from metalearn.personal.export_function import function_of
from metalearn.personal.export_graph import OPSET, Graph, Value
from metalearn.personal.export_walk import write_graph
from metalearn.personal.fitted import Fitted

IR = 9  # version of the file's form: onnxruntime reads it from 1.16 on


def write_onnx(fitted: Fitted, path: Path, int8: bool) -> None:
    """Write a recogniser as ONNX, for any number of images at once; its metadata has `about`.

    Args:
      fitted: the recogniser.
      path: of the file.
      int8: whether the body's weights are stored in 8 bits.

    Raises:
      UserError: as `metalearn.personal.export.export`.
    """
    checker = needed("onnx.checker")
    model = onnx_model(fitted, int8)
    checker.check_model(model, full_check=True)
    data = model.SerializeToString()
    write_whole(path, lambda file: file.write(data))


def onnx_model(fitted: Fitted, int8: bool = False) -> Any:
    """A recogniser as a `ModelProto`; arguments as of `write_onnx`."""
    helper = needed("onnx.helper")
    exported = function_of(fitted)
    size = exported.pixels
    graph = Graph(int8)
    found = write_graph(graph, exported.function, exported.constants, (size, size, 3))
    for name, value in zip(OUTPUTS, found, strict=True):
        graph.give(name, value)
    made = helper.make_graph(
        graph.used(OUTPUTS),
        "recogniser",
        [helper.make_tensor_value_info(INPUT, 2, ["N", size, size, 3])],
        [_described(helper, name, value) for name, value in zip(OUTPUTS, found, strict=True)],
        list(graph.initial.values()),
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(made, opset_imports=[opset], ir_version=IR, producer_name="metalearn")
    said = about(fitted, int8)
    model.doc_string = said["input"]
    helper.set_model_props(model, said)
    return model


def _described(helper: Any, name: str, value: Value) -> Any:
    return helper.make_tensor_value_info(name, 1, ["N" if n is None else n for n in value.dims])
