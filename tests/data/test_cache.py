"""Caches are whole or absent, are opened without reading, and fail in one line."""

import errno
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metalearn.data.cache import (
    cached,
    contents_of,
    default_root,
    digest_of,
    open_cache,
    pixel_moments,
)
from metalearn.data.source import Split
from metalearn.errors import UserError

Patch = pytest.MonkeyPatch


def make_splits() -> dict[str, Split]:
    """Three splits of two classes, 3 and 2 images of 4x4x3."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 5, 4, 4, 3), np.uint8)
    counts = np.array([3, 2], np.int32)
    return {
        s: Split(images[i], counts, (f"{s}0", f"{s}1"))
        for i, s in enumerate(("train", "valid", "test"))
    }


def no_call() -> dict[str, Split]:
    """A `prepare` that must not be needed."""
    raise AssertionError("prepared again")


def test_cache_opens_without_preparing_again(tmp_path: Path) -> None:
    written, expected = cached(tmp_path, "a", make_splits), make_splits()
    again = cached(tmp_path, "a", no_call)
    for dataset in (written, again):
        assert isinstance(dataset.train.images, np.memmap)
        for split, want in expected.items():
            np.testing.assert_array_equal(getattr(dataset, split).images, want.images)
            np.testing.assert_array_equal(getattr(dataset, split).counts, want.counts)
            assert getattr(dataset, split).names == want.names
    np.testing.assert_allclose(
        again.mean, (expected["train"].images / 255).mean((0, 1, 2)), rtol=1e-6
    )
    np.testing.assert_allclose(
        again.std, (expected["train"].images / 255).std((0, 1, 2)), rtol=1e-6
    )
    assert again.mean.dtype == again.std.dtype == np.float32


def test_contents_digest_does_not_depend_on_the_split() -> None:
    """Which records are of the same images: the digest tells the split too, contents do not."""
    splits = make_splits()
    elsewhere = splits | {"train": splits["test"], "test": splits["train"]}
    assert contents_of(elsewhere) == contents_of(splits) and digest_of(elsewhere) != digest_of(
        splits
    )
    other = splits["train"]._replace(images=splits["train"].images ^ 1)
    assert contents_of(splits | {"train": other}) != contents_of(splits)


def test_pixel_moments_are_those_of_numpy() -> None:
    images = np.random.default_rng(1).integers(0, 256, (2500, 3, 2, 1), np.uint8)
    mean, std = pixel_moments(images)
    np.testing.assert_allclose(
        [mean[0], std[0]], [(images / 255).mean(), (images / 255).std()], rtol=1e-6
    )


def truncate(folder: Path) -> None:
    os.truncate(folder / "train.npy", 150)


def lengthen(folder: Path) -> None:
    with open(folder / "train.npy", "ab") as stream:
        stream.write(b"more")


def drop_split(folder: Path) -> None:
    (folder / "test.npy").unlink()


def garble_json(folder: Path) -> None:
    (folder / "info.json").write_text('{"mean": [')


def wrong_json(folder: Path) -> None:
    (folder / "info.json").write_text("[1]")


@pytest.mark.parametrize("spoil", [truncate, lengthen, drop_split, garble_json, wrong_json])
def test_damaged_cache_is_rebuilt(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    cached(tmp_path, "a", make_splits)
    spoil(tmp_path / "a")
    assert open_cache(tmp_path / "a") is None
    dataset = cached(tmp_path, "a", make_splits)
    np.testing.assert_array_equal(dataset.train.images, make_splits()["train"].images)


def test_cache_refuses_pickles(tmp_path: Path) -> None:
    cached(tmp_path, "a", make_splits)
    path = tmp_path / "a" / "train.npy"
    size = path.stat().st_size
    with open(path, "wb") as stream:
        np.save(stream, np.array([{}] * 2, object), allow_pickle=True)
        stream.truncate(size)
    assert open_cache(tmp_path / "a") is None


@pytest.mark.parametrize("call", ["mkdir", "save", "fsync", "rename"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_failed_write_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    owner = {"mkdir": Path, "save": np, "fsync": os, "rename": os}[call]
    with monkeypatch.context() as patch:
        patch.setattr(owner, call, refuse)
        with pytest.raises(UserError, match=os.strerror(code)) as caught:
            cached(tmp_path, "a", make_splits)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
    cached(tmp_path, "a", make_splits)


def test_error_for_a_cache_folder_below_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write the cache"):
        cached(tmp_path / "file" / "cache", "a", make_splits)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_cache_opens_but_is_not_written(tmp_path: Path) -> None:
    cached(tmp_path, "a", make_splits)
    tmp_path.chmod(0o500)
    cached(tmp_path, "a", no_call)
    with pytest.raises(UserError, match="cannot write the cache"):
        cached(tmp_path, "b", make_splits)


def test_error_of_the_reader_is_not_wrapped(tmp_path: Path) -> None:
    def fail() -> dict[str, Split]:
        raise FileNotFoundError("the archive")

    with pytest.raises(FileNotFoundError):
        cached(tmp_path, "a", fail)
    assert not (tmp_path / "a").exists()


def test_half_written_caches_of_dead_processes_are_removed(tmp_path: Path) -> None:
    (tmp_path / "other.tmp").mkdir(parents=True)
    (tmp_path / "other.tmp" / "train.npy").write_bytes(b"half")
    (tmp_path / ".other.lock").touch()
    (tmp_path / "a.tmp").mkdir()
    cached(tmp_path, "a", make_splits)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["a"]


def test_folders_that_are_no_caches_are_kept(tmp_path: Path) -> None:
    (tmp_path / "photos.tmp").mkdir()
    cached(tmp_path, "a", make_splits)
    assert (tmp_path / "photos.tmp").exists() and not (tmp_path / ".photos.lock").exists()


def test_locks_of_another_user_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be read alone, or not even that."""
    (tmp_path / "other.tmp").mkdir()
    for name in ("a", "other"):
        (tmp_path / f".{name}.lock").touch()
    real = os.open

    def refuse(path: Path, flags: int, *rest: int) -> int:
        path = Path(path)
        if path.name == ".other.lock" or (path.name == ".a.lock" and flags & os.O_RDWR):
            raise PermissionError(errno.EACCES, "no permission", str(path))
        return real(path, flags, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        cached(tmp_path, "a", make_splits)
    assert (tmp_path / "other.tmp").exists() and open_cache(tmp_path / "a") is not None


def test_cache_that_a_live_process_writes_is_kept(tmp_path: Path) -> None:
    (tmp_path / "other.tmp").mkdir()
    with open(tmp_path / ".other.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cached(tmp_path, "a", make_splits)
        assert (tmp_path / "other.tmp").exists()
    cached(tmp_path, "b", make_splits)
    assert not (tmp_path / "other.tmp").exists()


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from metalearn.data.cache import cached
from metalearn.data.source import Split
def prepare():
    print("go", flush=True)
    counts = np.full(20, 1000, np.int32)
    split = Split(np.full((20000, 28, 28, 1), 7, np.uint8), counts, tuple(map(str, range(20))))
    return {"train": split, "valid": split, "test": split}
cached(Path(sys.argv[1]), "big", prepare)
print("done", flush=True)
"""


def start(root: Path) -> subprocess.Popen[bytes]:
    """A process that prepares 47 MB below `root`."""
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(root)], stdout=subprocess.PIPE)


def test_killed_preparation_leaves_a_whole_cache_or_none(tmp_path: Path) -> None:
    rng = random.Random(0)
    for _ in range(6):
        with start(tmp_path) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                process.wait(rng.uniform(0, 0.2))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        dataset = open_cache(tmp_path / "big")
        assert (dataset is not None) == (tmp_path / "big").exists()
        assert dataset is None or all(int(split.images[-1].min()) == 7 for split in dataset[1:4])
        if dataset is not None:
            for path in (tmp_path / "big").iterdir():
                path.unlink()
            (tmp_path / "big").rmdir()
    with start(tmp_path) as process:
        assert process.wait(60) == 0
    assert open_cache(tmp_path / "big") is not None
    assert not list(tmp_path.glob("*.tmp"))


def test_processes_at_once_prepare_once(tmp_path: Path) -> None:
    with start(tmp_path) as one, start(tmp_path) as two:
        outputs = [process.communicate(timeout=60)[0].split() for process in (one, two)]
    assert sorted(outputs) == [[b"done"], [b"go", b"done"]]


def test_cache_of_an_older_version_is_opened(tmp_path: Path) -> None:
    """As they were written before there was anything to be told."""
    cached(tmp_path, "a", make_splits)
    path = tmp_path / "a" / "info.json"
    info = json.loads(path.read_text())
    for name in ("notes", "decoder", "by_seed"):
        del info[name]
    path.write_text(json.dumps(info))
    dataset = cached(tmp_path, "a", no_call)
    assert (dataset.notes, dataset.decoder, dataset.by_seed) == ((), "", False)


def test_home_folder_is_looked_up_only_where_needed(monkeypatch: Patch, tmp_path: Path) -> None:
    """A container's user may have none, and no entry among the users either."""

    def unknown(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", unknown)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.delenv("METALEARN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_root() == tmp_path / "metalearn"
    monkeypatch.delenv("XDG_CACHE_HOME")
    with pytest.raises(UserError, match="~/.cache: this user has no home folder: give"):
        default_root()


def test_default_cache_folder_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METALEARN_CACHE", "/one")
    monkeypatch.setenv("XDG_CACHE_HOME", "/two")
    assert default_root() == Path("/one")
    monkeypatch.delenv("METALEARN_CACHE")
    assert default_root() == Path("/two/metalearn")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_root() == Path.home() / ".cache" / "metalearn"
