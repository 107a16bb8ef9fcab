"""Recognisers as files of ONNX: their answers, what they say of themselves, what cannot be."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from metalearn.data.snapshots import Snapshot, from_bytes, from_pixels
from metalearn.errors import UserError
from metalearn.personal import export_function
from metalearn.personal.answers import answer
from metalearn.personal.embedding import Embedder, load_embedding
from metalearn.personal.export import about, export
from metalearn.personal.export_check import agreement_text, compared
from metalearn.personal.fitted import Fitted
from metalearn.personal.fitting import fit
from metalearn.personal.opening import save_fitted
from metalearn.personal.probed import probed
from metalearn.personal.views import Views, usual_views
from tests.personal.made import NAMES, PIXELS, pixel_maker, shots, things, tiny
from tests.programs import program

REASON = "exporting: pip install -r requirements-export.txt"
onnx = pytest.importorskip("onnx", reason=REASON)
runtime = pytest.importorskip("onnxruntime", reason=REASON)

METHODS = ("centroid", "ridge")


def asked(path: Path, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What onnxruntime answers."""
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (probabilities, familiarity) = session.run(None, {"image": images})
    return probabilities, familiarity


def assert_answers(fitted: Fitted, path: Path, snapshots: list[Snapshot], within: float) -> None:
    """The file answers as the recogniser does."""
    images = np.stack([one.pixels for one in snapshots])
    (probabilities, familiarity) = asked(path, images)
    expected = answer(fitted, snapshots)
    for found, one in zip(probabilities, expected, strict=True):
        assert fitted.classes[int(found.argmax())] == one.label
        np.testing.assert_allclose(found, one.probabilities, atol=within)
    np.testing.assert_allclose(familiarity, [one.familiarity for one in expected], atol=within)


@pytest.mark.parametrize("method", METHODS)
def test_onnx_answers_as_the_recogniser_for_any_number_of_photos(
    method: str, tmp_path: Path
) -> None:
    fitted = tiny(3, 2, 4, method=method)
    export(fitted, tmp_path / "tiny.onnx", "onnx")
    for number in (1, 2, 5):
        new = [shot for label in range(3) for shot in shots(label, number, first=20)]
        assert_answers(fitted, tmp_path / "tiny.onnx", new[:number], 1e-5)


def test_onnx_says_what_it_is(tmp_path: Path) -> None:
    fitted = tiny(3, 2, 4)
    export(fitted, tmp_path / "tiny.onnx", "onnx")
    model = onnx.load(tmp_path / "tiny.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [one.version for one in model.opset_import] == [18]
    said = {one.key: one.value for one in model.metadata_props}
    assert said == about(fitted, int8=False)
    assert json.loads(said["classes"]) == list(NAMES[:3])
    assert float(said["threshold"]) == fitted.threshold
    assert f"[N,{PIXELS},{PIXELS},3]" in said["input"]


def views(size: int) -> Views:
    """All of a photograph and its middle."""
    return Views(usual_views(size).shown)


def lite(snapshots: dict[str, list[Snapshot]], size: int) -> Fitted:
    """A recogniser with the installed weights of Lite0."""
    embedding = load_embedding(views=views(size))
    return fit(probed(embedding.shown, Embedder(lambda: embedding), "auto"), snapshots)


def drawn(label: int, number: int, pixels: int) -> list[Snapshot]:
    """Photographs of the colours of a class, enlarged to what Lite0 is given."""
    times = -(-pixels // PIXELS)
    return [
        from_pixels(np.kron(one.pixels, np.ones((times, times, 1), np.uint8)), pixels, one.name)
        for one in shots(label, number)
    ]


@pytest.fixture(scope="module")
def lite0() -> Fitted:
    """Lite0 on drawn images of three classes."""
    pixels = views(32).pixels
    return lite({NAMES[label]: drawn(label, 4, pixels)[:3] for label in range(3)}, 32)


def test_lite0_becomes_convolutions_with_no_transposition_between_them(
    lite0: Fitted, tmp_path: Path
) -> None:
    export(lite0, tmp_path / "lite0.onnx", "onnx")
    graph = onnx.load(tmp_path / "lite0.onnx").graph
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    groups = [one.i for node in convolutions for one in node.attribute if one.name == "group"]
    assert len(convolutions) == 2 * 49  # layers of both views
    assert sum(group > 1 for group in groups) == 2 * 16
    assert all(len(node.input) == 3 for node in convolutions)  # their biases are theirs
    assert sum(node.op_type == "Transpose" for node in graph.node) <= 4  # of pixels, to resize them
    new = [shot for label in range(3) for shot in drawn(label, 4, lite0.model.pixels)[3:]]
    assert_answers(lite0, tmp_path / "lite0.onnx", new, 1e-3)


def test_weights_in_8_bits_take_a_quarter_and_answer_alike(lite0: Fitted, tmp_path: Path) -> None:
    for int8 in (False, True):
        export(lite0, tmp_path / f"{int8}.onnx", "onnx", int8)
    sizes = [(tmp_path / f"{int8}.onnx").stat().st_size for int8 in (True, False)]
    assert sizes[0] < 0.3 * sizes[1]
    new = [shot for label in range(3) for shot in drawn(label, 4, lite0.model.pixels)[3:]]
    (exact, rounded) = (
        compared(lite0, tmp_path / f"{int8}.onnx", "onnx", new, [0, 1, 2]) for int8 in (False, True)
    )
    assert exact.same == rounded.same == 1 and exact.accuracy == (1.0, 1.0)
    assert exact.probability < 1e-3 < rounded.probability < 0.2  # it is not the same file
    assert "the same class for 100.0%" in agreement_text(exact)


@pytest.mark.slow
def test_real_photos_get_the_same_answers(data_dir: Path, tmp_path: Path) -> None:
    """Of the grocery set, a few classes."""
    pixels = views(96).pixels
    with zipfile.ZipFile(data_dir / "grocery-store-224.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))

        def photos(split: str, label: str, number: int) -> list[Snapshot]:
            chosen = [name for name in names if name.startswith(f"{split}/{label}/")][:number]
            return [from_bytes(archive.read(name), pixels, name) for name in chosen]

        labels = sorted({name.split("/")[1] for name in names if name.startswith("test/")})[::27]
        fitted = lite({label: photos("train", label, 2) for label in labels}, 96)
        new = [one for label in labels for one in photos("test", label, 3)]
    export(fitted, tmp_path / "real.onnx", "onnx")
    assert_answers(fitted, tmp_path / "real.onnx", new, 1e-3)


def test_other_programs_need_numpy_alone(tmp_path: Path) -> None:
    """onnxruntime, in a process without JAX and without this project."""
    fitted = tiny(3, 2)
    export(fitted, tmp_path / "tiny.onnx", "onnx")
    (shot,) = shots(1, 1, first=20)
    np.save(tmp_path / "photo.npy", shot.pixels)
    code = (
        "import json, sys, numpy as np, onnxruntime\n"
        "session = onnxruntime.InferenceSession('tiny.onnx')\n"
        "said = session.get_modelmeta().custom_metadata_map\n"
        "(p, f) = session.run(None, {'image': np.load('photo.npy')[None]})\n"
        "print(json.loads(said['classes'])[p[0].argmax()], f[0] >= float(said['threshold']))\n"
        "assert not {'jax', 'metalearn'} & sys.modules.keys()\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    (one,) = answer(fitted, [shot])
    assert done.stdout.split() == [one.label, str(one.known)], done.stderr


def sorted_pixels(*given: Any) -> jax.Array:
    """Features that ONNX has no operation for."""
    images = given[-1]
    return jnp.sort(images.astype(jnp.float32).reshape(len(images), -1)[:, :12])


def test_what_cannot_be_exported_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "none"
    with pytest.raises(UserError, match="unknown format 'coreml': choose one of onnx, savedmodel"):
        export(tiny(2, 2), path, "coreml")
    with pytest.raises(UserError, match="SavedModel has no weights in 8 bits"):
        export(tiny(2, 2), path, "savedmodel", int8=True)
    with pytest.raises(UserError, match="of the kind 'pixels' cannot be exported"):
        export(fit(pixel_maker(), things(2, 2)), path, "onnx")
    monkeypatch.setattr(export_function, "features", sorted_pixels)
    with pytest.raises(UserError, match="a network with the operation 'sort' cannot be exported"):
        export(tiny(2, 2), path, "onnx")
    assert not path.exists()


def test_command_writes_the_file_and_compares_it(lite0: Fitted, tmp_path: Path) -> None:
    """Photos in folders named like classes tell its accuracy too."""
    file = tmp_path / "lite0.recogniser"
    save_fitted(lite0, file)
    for label in range(2):
        folder = tmp_path / "new" / NAMES[label]
        folder.mkdir(parents=True)
        for one in drawn(label, 4, lite0.model.pixels)[2:]:
            Image.fromarray(one.pixels).save(folder / one.name)
    given = (f"--out={tmp_path / 'lite0.onnx'}", f"--check={tmp_path / 'new'}")
    said = program("personalise", "export", str(file), "--int8", *given)
    assert said.code == 0, said
    assert "lite0.onnx (3." in said.out and "4 photos: the same class for 100.0%" in said.out
    assert "accuracy 100.0% of the recogniser, 100.0% of the file" in said.out
    said = program("personalise", "export", str(file))
    assert said.complaint == "export needs a file to write: give --out=mine.onnx"


@pytest.mark.parametrize(
    ("form", "package"), [("onnx", "onnx"), ("savedmodel", "tensorflow"), ("tflite", "tensorflow")]
)
def test_a_package_that_is_missing_is_named_with_how_to_install_it(
    form: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = {name for name in sys.modules if name.split(".")[0] == package} | {package}
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=f"needs the package {package} .*python -m pip install"):
        export(tiny(2, 2), tmp_path / "none", form)
