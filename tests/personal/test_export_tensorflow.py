"""Recognisers for TensorFlow and TFLite: their answers, and what they say of themselves."""

import json
import zipfile
from pathlib import Path

import pytest

from metalearn.errors import UserError
from metalearn.personal.export import about, export
from metalearn.personal.export_check import compared
from tests.personal.made import shots, tiny

REASON = 'exporting: see requirements-export.txt; pip install "tensorflow>=2.21,<3" ai-edge-litert'
pytest.importorskip("tensorflow", reason=REASON)
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.slow,  # TensorFlow takes long to import
]


def test_savedmodel_answers_as_the_recogniser(tmp_path: Path) -> None:
    fitted = tiny(3, 2, 4)
    path = tmp_path / "tiny"
    try:
        export(fitted, path, "savedmodel")
    except UserError as error:  # what this jax writes is too new for this TensorFlow
        assert "cannot run what jax" in str(error) and not path.exists()
        pytest.skip(str(error))
    new = [shot for label in range(3) for shot in shots(label, 3, first=20)]
    found = compared(fitted, path, "savedmodel", new, [-1] * 9)
    assert found.same == 1 and found.probability < 1e-5 and found.familiarity < 1e-5
    assert json.loads((path / "recogniser.json").read_text()) == about(fitted, int8=False)
    with pytest.raises(UserError, match="is there already"):
        export(fitted, path, "savedmodel")


@pytest.mark.parametrize("int8", [False, True])
def test_tflite_answers_as_the_recogniser(int8: bool, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason=REASON)
    fitted = tiny(3, 2, 4)
    path = tmp_path / "tiny.tflite"
    export(fitted, path, "tflite", int8)
    new = [shot for label in range(3) for shot in shots(label, 3, first=20)]
    found = compared(fitted, path, "tflite", new, [-1] * 9)
    within = 0.1 if int8 else 1e-5
    assert found.same == 1 and found.probability < within and found.familiarity < within
    with zipfile.ZipFile(path) as archive:
        assert archive.read("labels.txt").decode().split() == list(fitted.classes)
        assert json.loads(archive.read("recogniser.json")) == about(fitted, int8, "1")
