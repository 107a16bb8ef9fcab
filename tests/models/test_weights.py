"""Files of weights: what is read of them, and what is refused."""

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metalearn.errors import UserError
from metalearn.models.weights import read_weights, sha256_of
from tests.models.torch_files import MAGIC, Saved, saved_all, write_legacy, write_zipped

ARRAYS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "count": np.array(7, np.int64),
    "half": np.array([1.5, -2.0], np.float16),
}
WRITERS = pytest.mark.parametrize("write", [write_legacy, write_zipped])


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@WRITERS
def test_pytorch(write: Callable, tmp_path: Path) -> None:
    write(tmp_path / "net.pth", saved_all(ARRAYS))
    same(read_weights(tmp_path / "net.pth"), ARRAYS)


@WRITERS
def test_pytorch_checkpoint(write: Callable, tmp_path: Path) -> None:
    """A checkpoint's weights stand beside other things, which are left out."""
    write(tmp_path / "net.pth", {"epoch": 3, "state_dict": saved_all(ARRAYS), "optimizer": {}})
    same(read_weights(tmp_path / "net.pth"), ARRAYS)


@WRITERS
def test_pytorch_views(write: Callable, tmp_path: Path) -> None:
    """A transposed part of a storage."""
    storage = np.arange(10, dtype=np.float32)
    write(tmp_path / "net.pth", {"w": Saved(storage, "0", (2, 3), (1, 2), offset=4)})
    same(read_weights(tmp_path / "net.pth"), {"w": storage[4:].reshape(3, 2).T})


def test_safetensors(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    numpy.save_file(ARRAYS, tmp_path / "net.safetensors")
    same(read_weights(tmp_path / "net.safetensors"), ARRAYS)


class Hostile:
    """Unpickled in the usual way, makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@WRITERS
def test_pickled_code_is_refused_and_never_run(write: Callable, tmp_path: Path) -> None:
    evidence = tmp_path / "it ran"
    write(tmp_path / "net.pth", OrderedDict(w=Hostile(evidence), **saved_all(ARRAYS)))
    with pytest.raises(UserError, match=r"net.pth hold code \(posix.mkdir\)") as error:
        read_weights(tmp_path / "net.pth")
    assert "\n" not in str(error.value) and not evidence.exists()
    pickle.loads(pickle.dumps(Hostile(evidence)))
    assert evidence.exists()  # as anything that trusts a pickle would have


def test_code_in_the_head_of_a_pickle_is_refused(tmp_path: Path) -> None:
    evidence = tmp_path / "it ran"
    (tmp_path / "net.pth").write_bytes(pickle.dumps(Hostile(evidence), protocol=2))
    with pytest.raises(UserError, match="hold code"):
        read_weights(tmp_path / "net.pth")
    assert not evidence.exists()


@pytest.mark.parametrize("name", ["builtins.eval", "os.system", "torch.load", "numpy.load"])
def test_only_what_weights_need_can_be_named(name: str, tmp_path: Path) -> None:
    (module, function) = name.split(".")
    named = pickle.PROTO + b"\x02" + b"c" + f"{module}\n{function}\n".encode() + pickle.STOP
    (tmp_path / "net.pth").write_bytes(named)
    with pytest.raises(UserError, match=rf"hold code \({name}\)"):
        read_weights(tmp_path / "net.pth")


@WRITERS
@pytest.mark.parametrize(
    "outside",
    [
        Saved(np.zeros(4, np.float32), "0", (2, 3), (3, 1)),
        Saved(np.zeros(4, np.float32), "0", (2,), (1,), offset=3),
        Saved(np.zeros(4, np.float32), "0", (2,), (1,), offset=-1),
        Saved(np.zeros(4, np.float32), "0", (2,), (-1,), offset=1),
        Saved(np.zeros(4, np.float32), "0", (10**12,), (0,)),
    ],
)
def test_tensors_outside_their_numbers_are_refused(
    write: Callable, outside: Saved, tmp_path: Path
) -> None:
    write(tmp_path / "net.pth", {"w": outside})
    with pytest.raises(UserError, match="damaged"):
        read_weights(tmp_path / "net.pth")


@WRITERS
@pytest.mark.parametrize("part", [0.2, 0.5, 0.9, 0.99])
def test_truncated_pytorch_files(write: Callable, part: float, tmp_path: Path) -> None:
    write(tmp_path / "net.pth", saved_all(ARRAYS))
    whole = (tmp_path / "net.pth").read_bytes()
    (tmp_path / "net.pth").write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(UserError, match=r"net.pth .* damaged .*: get the file again$"):
        read_weights(tmp_path / "net.pth")


@pytest.mark.parametrize("part", [0.5, 0.9])
def test_truncated_safetensors(part: float, tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    whole = numpy.save(ARRAYS)
    (tmp_path / "net.safetensors").write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(UserError, match=r"net.safetensors are damaged .*: get the file again$"):
        read_weights(tmp_path / "net.safetensors")


def test_other_files_are_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("photo.png", b"")
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1, 2], protocol=2))
    write_zipped(tmp_path / "none.pth", {"epoch": 3})
    for name, what in (
        ("photo.png", "is no file of weights"),
        ("photos.zip", "is an archive of something else"),
        ("list.pkl", "is a pickle, but not of PyTorch"),
        ("none.pth", "holds no weights by name"),
        ("nothing.pth", "cannot be read"),
        ("", "cannot be read"),
    ):
        with pytest.raises(UserError, match=what) as error:
            read_weights(tmp_path / name)
        assert str(tmp_path / name) in str(error.value) and "\n" not in str(error.value)


def test_magic_number_is_that_of_pytorch() -> None:
    assert hex(MAGIC) == "0x1950a86a20f9469cfc6c"


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert sha256_of(tmp_path / "empty").startswith("e3b0c44298fc1c149afbf4c8996fb924")
    with pytest.raises(UserError, match="cannot be read"):
        sha256_of(tmp_path / "none")
