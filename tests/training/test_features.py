"""Features that are computed once and kept on disk."""

import errno
import os
from pathlib import Path

import jax
import numpy as np
import pytest

from metalearn.errors import UserError
from metalearn.evaluation.blocks import Blocks
from metalearn.training import features
from metalearn.training.features import cached_features
from metalearn.types import Array, PyTree

IMAGES = np.arange(200, dtype=np.uint8).reshape(200, 1, 1, 1)
PARAMS = {"factor": np.float32(2)}


def doubled(params: PyTree, x: Array) -> Array:
    return x.astype(np.float32).reshape(len(x), 1) * params["factor"]


@pytest.fixture
def mesh() -> jax.sharding.Mesh:
    return jax.sharding.Mesh(jax.devices()[:2], "tasks")


def test_blocks_give_each_image_its_own_result(mesh: jax.sharding.Mesh) -> None:
    blocks = Blocks(doubled, mesh, 3)
    np.testing.assert_array_equal(blocks(PARAMS, IMAGES)[:, 0], 2 * np.arange(200))
    rows = np.array([7, 5, 199, 0])
    np.testing.assert_array_equal(blocks(PARAMS, IMAGES, rows)[:, 0], 2 * rows)


def test_features_are_computed_once(tmp_path: Path, mesh: jax.sharding.Mesh) -> None:
    path = tmp_path / "cache" / "one.npy"
    found = cached_features(path, doubled, PARAMS, IMAGES, mesh)
    np.testing.assert_array_equal(found[:, 0], 2 * np.arange(200))

    def fails(params: PyTree, x: Array) -> Array:
        raise AssertionError

    np.testing.assert_array_equal(cached_features(path, fails, PARAMS, IMAGES, mesh), found)


def test_features_continue_where_a_killed_process_left_them(
    tmp_path: Path, mesh: jax.sharding.Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one.npy"
    monkeypatch.setattr(features, "SAVE_BLOCKS", 1)
    monkeypatch.setattr(features, "Blocks", lambda function, mesh: Blocks(function, mesh, 16))
    seen: list[int] = []

    class Killed(Exception):
        pass

    class Dies(np.ndarray):
        def __getitem__(self, rows: object) -> np.ndarray:
            if len(seen) == 3:
                raise Killed
            seen.append(1)
            return np.asarray(IMAGES)[rows]

    with pytest.raises(Killed):
        cached_features(path, doubled, PARAMS, IMAGES.view(Dies), mesh)
    assert not path.exists() and int(path.with_suffix(".done").read_text()) == 96
    wrong = IMAGES.copy()
    wrong[:96] = 0  # not looked at again
    found = cached_features(path, doubled, PARAMS, wrong, mesh)
    np.testing.assert_array_equal(found[:, 0], 2 * np.arange(200))
    assert not path.with_suffix(".done").exists()


def test_disk_without_room_for_all_features_is_one_line(
    tmp_path: Path, mesh: jax.sharding.Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int, begin: int, size: int) -> None:
        assert size > 200 * 4
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    path = tmp_path / "one.npy"
    with pytest.raises(UserError, match="No space left on device; free some space"):
        cached_features(path, doubled, PARAMS, IMAGES, mesh)
    assert not path.with_suffix(".part").exists()


def test_file_system_that_cannot_allocate_is_written_as_it_is(
    tmp_path: Path, mesh: jax.sharding.Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unable(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", unable)
    found = cached_features(tmp_path / "one.npy", doubled, PARAMS, IMAGES, mesh)
    np.testing.assert_array_equal(found[:, 0], 2 * np.arange(200))


def test_a_folder_that_cannot_be_written_is_refused(
    tmp_path: Path, mesh: jax.sharding.Mesh
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write .*choose another --cache_dir"):
        cached_features(tmp_path / "file" / "one.npy", doubled, PARAMS, IMAGES, mesh)
