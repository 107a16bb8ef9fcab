"""Files of weights: what is read of them, and what is refused."""

import os
import pickle
import resource
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metalearn.errors import UserError
from metalearn.models.weights import read_weights, sha256_of
from metalearn.models.weights_pickle import ALLOWED
from tests.models.torch_files import MAGIC, Saved, locked, saved_all, write_legacy, write_zipped

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


def nested(depth: int) -> tuple:
    """A tuple of itself twice, so often: small where it is shared, and long when written down."""
    found: tuple = ()
    for _ in range(depth):
        found = (found, found)
    return found


@WRITERS
def test_names_of_numbers_are_text_or_numbers(write: Callable, tmp_path: Path) -> None:
    """What is named by nested tuples would be written down for ever."""
    write(tmp_path / "net.pth", {"w": Saved(np.zeros(4, np.float32), nested(60), (4,), (1,))})
    with pytest.raises(UserError, match="damaged"):
        read_weights(tmp_path / "net.pth")


BUILDS = {
    "slots": b"(N}X\x08\x00\x00\x00__name__X\x03\x00\x00\x00badstb",
    "attributes": b"}X\x08\x00\x00\x00evidenceK\x01sb",
}


@pytest.mark.parametrize("state", BUILDS)
@pytest.mark.parametrize("named", ["torch._utils _rebuild_tensor_v2", "torch Size"])
def test_what_may_be_named_cannot_be_changed(state: str, named: str, tmp_path: Path) -> None:
    """A pickle sets attributes of what it has made."""
    (module, name) = named.split()
    first = pickle.PROTO + b"\x02" + f"c{module}\n{name}\n".encode() + BUILDS[state] + b"."
    (tmp_path / "net.pth").write_bytes(first)
    with pytest.raises(UserError, match="damaged"):
        read_weights(tmp_path / "net.pth")
    allowed = ALLOWED[module, name]
    assert not hasattr(allowed, "evidence") and not hasattr(allowed, "__name__")


def test_a_pickle_of_many_objects_that_are_not_there(tmp_path: Path) -> None:
    """It says that it keeps object number 2**30, and has one."""
    many = pickle.LONG_BINPUT + (2**30).to_bytes(4, "little")
    (tmp_path / "net.pth").write_bytes(pickle.PROTO + b"\x02" + b"]" + many + pickle.STOP)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="not of PyTorch"):
        read_weights(tmp_path / "net.pth")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB


def test_sizes_are_of_few_axes(tmp_path: Path) -> None:
    write_legacy(
        tmp_path / "net.pth", {"w": Saved(np.zeros(1, np.float32), "0", (1,) * 65, (1,) * 65)}
    )
    with pytest.raises(UserError, match="damaged"):
        read_weights(tmp_path / "net.pth")


@WRITERS
def test_tensors_share_their_numbers_a_few_times(write: Callable, tmp_path: Path) -> None:
    """More of them would be copies without end."""
    storage = np.ones(1000, np.float32)
    for number, fits in ((3, True), (1000, False)):
        tree = {f"w{i}": Saved(storage, "0", (1000,), (1,)) for i in range(number)}
        write(tmp_path / "net.pth", tree)
        if fits:
            assert len(read_weights(tmp_path / "net.pth")) == number
        else:
            with pytest.raises(UserError, match="damaged"):
                read_weights(tmp_path / "net.pth")


def test_numbers_that_unfold_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    write_zipped(path, saved_all({"w": np.zeros(100_000, np.float32)}))
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    with pytest.raises(UserError, match="net.pth are compressed, to unfold to 400,") as error:
        read_weights(path)
    assert "\n" not in str(error.value)


def test_more_numbers_than_the_file_has_are_not_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    write_legacy(path, saved_all({"w": np.zeros(4, np.float32)}))
    whole = path.read_bytes()
    path.write_bytes(whole[:-24] + (2**60).to_bytes(8, "little") + whole[-16:])
    with pytest.raises(UserError, match="damaged"):
        read_weights(path)


@WRITERS
def test_tensors_that_are_named_by_no_text_are_left_out(write: Callable, tmp_path: Path) -> None:
    tensors = saved_all(ARRAYS)
    write(tmp_path / "net.pth", {0: Saved(np.zeros(1, np.float32), "0", (1,), (1,))} | tensors)
    same(read_weights(tmp_path / "net.pth"), ARRAYS)


def test_a_locked_archive(tmp_path: Path) -> None:
    write_zipped(tmp_path / "net.pth", saved_all(ARRAYS))
    locked(tmp_path / "net.pth")
    with pytest.raises(UserError, match="net.pth are damaged"):
        read_weights(tmp_path / "net.pth")


def test_a_broken_compressed_archive(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    noise = np.random.default_rng(0).normal(size=1000)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", noise.tobytes())
        archive.writestr("padding", noise.tobytes())
    whole = bytearray(path.read_bytes())
    whole[50:60] = b"\xff" * 10
    path.write_bytes(bytes(whole))
    with pytest.raises(UserError, match="damaged"):
        read_weights(path)


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
