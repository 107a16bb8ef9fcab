"""Checkpoints: whole or absent, passed over when damaged, never mixed up."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.training.checkpoint import Checkpoints
from metalearn.training.step import TrainState
from metalearn.training.trained import Best
from metalearn.types import InputSpec

# TensorStore's threads, after a failed read, report to a loop that orbax has closed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


INPUTS = InputSpec((4, 5), (0.5, 0.25, 0.1), (0.0, 1.0, 128 / 255), "bicubic")


def state(step: int, size: int = 3) -> TrainState:
    weights = jnp.arange(size, dtype=jnp.float32) + step
    return TrainState(
        jnp.int32(step), {"w": weights}, ({"mu": {"w": weights * 2}}, jnp.int32(step))
    )


def save(workdir: Path, *steps: int) -> None:
    with closing(Checkpoints(workdir)) as checkpoints:
        for step in steps:
            checkpoints.save_best(step, state(step).meta, INPUTS)
            checkpoints.save(state(step), Best(step / 100, step))


def restore(workdir: Path, size: int = 3) -> tuple[TrainState, Best] | None:
    with closing(Checkpoints(workdir)) as checkpoints:
        return checkpoints.restore(state(0, size))


def assert_is(found: tuple[TrainState, Best] | None, step: int) -> None:
    assert found is not None
    got, want = found[0], state(step)
    assert found[1] == Best(step / 100, step) and int(got.step) == step
    np.testing.assert_array_equal(got.meta["w"], want.meta["w"])
    np.testing.assert_array_equal(got.opt_state[0]["mu"]["w"], want.opt_state[0]["mu"]["w"])


def test_latest_checkpoint_is_restored_and_the_last_two_are_kept(tmp_path: Path) -> None:
    assert restore(tmp_path) is None
    save(tmp_path, 1, 2, 3)
    assert_is(restore(tmp_path), 3)
    for kind in ("latest", "best"):
        assert sorted(os.listdir(tmp_path / "checkpoints" / kind)) == ["2", "3"]
    with closing(Checkpoints(tmp_path)) as checkpoints:
        np.testing.assert_array_equal(
            checkpoints.restore_best(Best(0.02, 2)).meta["w"], state(2).meta["w"]
        )
        with pytest.raises(
            UserError, match=r"no checkpoint of step 1 in .*/best: train again in another --workdir"
        ):
            checkpoints.restore_best(Best(0.01, 1))


def test_trained_parameters_are_read_without_their_model(tmp_path: Path) -> None:
    """With its running statistics, one of them of layers that keep none, and the inputs it takes."""
    meta = {
        "body": {"conv": {"w": jnp.ones((2, 3))}},
        "moments": {"body": {}, "features": {"mean": jnp.arange(3.0), "var": jnp.ones(3)}},
    }
    with closing(Checkpoints(tmp_path)) as checkpoints:
        checkpoints.save_best(7, meta, INPUTS)
        checkpoints.save(state(8), Best(0.5, 7))
    with closing(Checkpoints(tmp_path)) as checkpoints:
        found = checkpoints.read_trained(Config(steps=8))
        with pytest.raises(UserError, match="is trained to step 8 of 9: run its training command"):
            checkpoints.read_trained(Config(steps=9))
    assert found.best == Best(0.5, 7) and found.inputs == INPUTS
    assert jax.tree.structure(found.meta) == jax.tree.structure(meta)
    jax.tree.map(np.testing.assert_array_equal, found.meta, meta)


def test_a_checkpoint_of_an_older_version_is_read(tmp_path: Path) -> None:
    """It holds the meta-parameters alone."""
    older = ocp.CheckpointManager(
        tmp_path / "checkpoints" / "best", item_handlers=ocp.StandardCheckpointHandler()
    )
    older.save(3, args=ocp.args.StandardSave(state(3).meta))
    older.close()
    with closing(Checkpoints(tmp_path)) as checkpoints:
        found = checkpoints.restore_best(Best(0.1, 3))
    assert found.inputs is None
    np.testing.assert_array_equal(found.meta["w"], state(3).meta["w"])


def test_a_second_save_of_a_step_changes_nothing(tmp_path: Path) -> None:
    save(tmp_path, 5)
    save(tmp_path, 5)
    assert_is(restore(tmp_path), 5)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def truncate(folder: Path) -> None:
    for path in files(folder):
        os.truncate(path, path.stat().st_size // 2)


def garble(folder: Path) -> None:
    for path in files(folder):
        path.write_bytes(b"\x00garbage\xff" * 7)


def garble_data(folder: Path) -> None:
    for path in files(folder):
        if path.parent.name == "d":
            path.write_bytes(bytes(path.stat().st_size))


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def lose_manifests(folder: Path) -> None:
    for path in folder.rglob("manifest.ocdbt"):
        path.unlink()


DAMAGE = [truncate, garble, garble_data, empty, lose_manifests]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_checkpoint_is_skipped_for_the_one_before(
    damage: Callable[[Path], None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path, 1, 2)
    latest = tmp_path / "checkpoints" / "latest"
    damage(latest / "2")
    assert_is(restore(tmp_path), 1)
    err, aside = capfd.readouterr().err, tmp_path / "checkpoints" / "damaged" / "2"
    assert err.count("\n") == 1 and err.startswith(f"warning: {latest / '2'} cannot be read ("), err
    assert (
        err.endswith(f"; continuing from step 1; its files are now in {aside}\n") and aside.is_dir()
    )
    save(tmp_path, 2)
    assert_is(restore(tmp_path), 2)


@pytest.mark.parametrize("damage", DAMAGE)
def test_error_for_all_checkpoints_damaged_says_how_to_continue(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    save(tmp_path, 1, 2)
    for step in (1, 2):
        damage(tmp_path / "checkpoints" / "latest" / str(step))
        damage(tmp_path / "checkpoints" / "best" / str(step))
    wanted = r"2 cannot be read \(.*\), nor can an older one: to train from the start, delete .*/checkpoints"
    with pytest.raises(UserError, match=wanted) as caught:
        restore(tmp_path)
    assert "\n" not in str(caught.value)
    with (
        closing(Checkpoints(tmp_path)) as checkpoints,
        pytest.raises(UserError, match="train again in another"),
    ):
        checkpoints.restore_best(Best(0.02, 2))


def test_checkpoint_of_another_model_is_refused_and_kept(tmp_path: Path) -> None:
    save(tmp_path, 1, 2)
    with pytest.raises(
        UserError,
        match=r"2 is a checkpoint of another model or optimiser: choose another --workdir",
    ):
        restore(tmp_path, size=4)
    assert_is(restore(tmp_path), 2)


def test_half_written_checkpoints_are_removed_when_training_begins(tmp_path: Path) -> None:
    save(tmp_path, 1)
    stale = tmp_path / "checkpoints" / "latest" / "2.orbax-checkpoint-tmp"
    shutil.copytree(tmp_path / "checkpoints" / "latest" / "1", stale)
    assert_is(restore(tmp_path), 1)
    assert stale.exists()  # a reader leaves alone what another process may be writing
    with closing(Checkpoints(tmp_path, clean=True)) as checkpoints:
        checkpoints.save(state(2), Best(0.02, 2))
    assert not stale.exists()
    assert_is(restore(tmp_path), 2)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_checkpoint_that_cannot_be_written_is_a_one_line_error(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with closing(Checkpoints(tmp_path)) as checkpoints:
        monkeypatch.setattr(ocp.CheckpointManager, "save", refuse)
        with pytest.raises(
            UserError, match=rf"cannot write checkpoint .*/latest/2: {os.strerror(number)}; earlier"
        ):
            checkpoints.save(state(2), Best())
    assert_is(restore(tmp_path), 1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("a full disk: this user may not mount a small one")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_costs_the_last_save_only(small_disk: Path) -> None:
    save(small_disk, 1)
    # what a small checkpoint takes differs between runs: leave half of what the next one needs
    (small_disk / "filler").write_bytes(bytes(shutil.disk_usage(small_disk).free - 400_000))
    big = TrainState(
        jnp.int32(2), {"w": jnp.asarray(np.random.default_rng(0).normal(size=200_000))}, ()
    )
    with closing(Checkpoints(small_disk, clean=True)) as checkpoints:
        with pytest.raises(
            UserError, match=r"cannot write checkpoint .*/latest/2: .*earlier checkpoints are kept"
        ) as e:
            checkpoints.save(big, Best())
    assert "\n" not in str(e.value) and len(str(e.value)) < 400, e.value
    (small_disk / "filler").unlink()
    assert_is(restore(small_disk), 1)
    with closing(Checkpoints(small_disk, clean=True)) as checkpoints:
        checkpoints.save(state(2), Best(0.02, 2))
    assert_is(restore(small_disk), 2)
