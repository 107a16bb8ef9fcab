"""Files of Keras, written here with HDF5 alone: the forms of each of its generations."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from metalearn.errors import UserError
from metalearn.models.weights import read_weights
from tests.models.torch_files import locked

h5py = pytest.importorskip("h5py", reason="h5py is not installed")

LAYERS = {
    "conv2d_94": [np.arange(6.0, dtype=np.float32).reshape(1, 1, 2, 3)],
    "batch_normalization_94": [np.zeros(3, np.float32), np.ones(3, np.float32)],
    "conv2d_95": [np.ones((1, 1, 3, 4), np.float32)],
    "predictions": [np.ones((4, 2), np.float32), np.zeros(2, np.float32)],
}
# As the first layers of a session would be called
NAMES = ("conv2d/0", "batch_normalization/0", "batch_normalization/1", "conv2d_1/0")
ARRAYS = dict(
    zip(
        (*NAMES, "predictions/0", "predictions/1"),
        [array for arrays in LAYERS.values() for array in arrays],
        strict=True,
    )
)


def write_older(file: object, root: str = "") -> None:
    """Layers and weights by lists of names: published weights, and `model.save('net.h5')`."""
    with h5py.File(file, "w") as content:
        groups = content.create_group(root) if root else content
        groups.attrs["layer_names"] = [name.encode() for name in (*LAYERS, "flatten")]
        groups.create_group("flatten").attrs["weight_names"] = []
        for layer, arrays in LAYERS.items():
            names = [f"{layer}/w{i}:0" for i in range(len(arrays))]
            group = groups.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, arrays, strict=True):
                group[name] = array


def write_newer(file: object, named: bool = True) -> None:
    """Layers by kind and number; their names are attributes (Keras 3)."""
    with h5py.File(file, "w") as content:
        content.create_group("vars")
        for i, (layer, arrays) in enumerate(LAYERS.items()):
            group = content.create_group(f"layers/layer_{len(LAYERS) - i}/vars")
            if named:
                group.attrs["name"] = layer
            for j, array in enumerate(arrays):
                group[str(j)] = array
        content.create_group("layers/flatten/vars")


def write_archive(path: Path) -> None:
    inner = io.BytesIO()
    write_newer(inner)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", inner.getvalue())


def write_saved(path: Path) -> None:
    write_older(path, "model_weights")


WRITERS = pytest.mark.parametrize("write", [write_older, write_saved, write_newer, write_archive])


@WRITERS
def test_arrays_by_layer_and_position(write, tmp_path: Path) -> None:
    write(tmp_path / "net")
    found = read_weights(tmp_path / "net")
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


@WRITERS
@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
def test_truncated(write, part: float, tmp_path: Path) -> None:
    write(tmp_path / "net")
    whole = (tmp_path / "net").read_bytes()
    (tmp_path / "net").write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(UserError, match="net are damaged .*: get the file again$") as error:
        read_weights(tmp_path / "net")
    assert "\n" not in str(error.value)


def test_arrays_larger_than_their_file_are_refused(tmp_path: Path) -> None:
    """Those that were never written take no room there."""
    with h5py.File(tmp_path / "net.h5", "w") as content:
        content.attrs["layer_names"] = [b"conv"]
        group = content.create_group("conv")
        group.attrs["weight_names"] = [b"kernel"]
        group.create_dataset("kernel", (10**6, 10**6), np.float32)
    with pytest.raises(UserError, match="net.h5 are damaged"):
        read_weights(tmp_path / "net.h5")


def test_arrays_of_text_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "net.h5", "w") as content:
        content.attrs["layer_names"] = [b"conv"]
        group = content.create_group("conv")
        group.attrs["weight_names"] = [b"kernel"]
        group["kernel"] = np.array([b"one", b"two"])
    with pytest.raises(UserError, match="net.h5 are damaged"):
        read_weights(tmp_path / "net.h5")


def test_a_compressed_archive_is_refused(tmp_path: Path) -> None:
    inner = io.BytesIO()
    write_newer(inner)
    with zipfile.ZipFile(tmp_path / "net.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", inner.getvalue() + bytes(100_000))
    with pytest.raises(UserError, match="net.keras are compressed"):
        read_weights(tmp_path / "net.keras")


def test_a_locked_archive(tmp_path: Path) -> None:
    write_archive(tmp_path / "net.keras")
    locked(tmp_path / "net.keras")
    with pytest.raises(UserError, match="net.keras are damaged"):
        read_weights(tmp_path / "net.keras")


def test_names_that_were_left_out(tmp_path: Path) -> None:
    write_newer(tmp_path / "net.h5", named=False)
    with pytest.raises(UserError, match="early Keras 3, which left out the layers' names"):
        read_weights(tmp_path / "net.h5")


def test_hdf5_of_something_else(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "data.h5", "w") as content:
        content["images"] = np.zeros(3)
    with pytest.raises(UserError, match="data.h5 holds no layers of Keras"):
        read_weights(tmp_path / "data.h5")
