"""The folder of a run: who holds it, and when it is free."""

import dataclasses
from pathlib import Path

import pytest

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.records.workdir import Saved, hold_workdir, lock_workdir, open_workdir, read_workdir
from tests.programs import contents

CONFIG = Config(method="protonet", steps=4, schedule="constant")
RUN = Saved(CONFIG, "a command", (), "abc")
OTHER = Saved(dataclasses.replace(CONFIG, lr=0.5), "another", (), "abc")


def test_what_is_refused_changes_nothing_where_another_is_at_work(tmp_path: Path) -> None:
    longer = Saved(dataclasses.replace(CONFIG, steps=8), "another", (), "abc")
    with hold_workdir(tmp_path, RUN):
        before = contents(tmp_path)
        for run in (longer, OTHER):
            with pytest.raises(UserError, match="at work"), hold_workdir(tmp_path, run):
                pass
        assert contents(tmp_path) == before


def test_process_that_has_written_nothing_yet_is_at_work_too(tmp_path: Path) -> None:
    with (
        lock_workdir(tmp_path),
        pytest.raises(UserError, match="at work"),
        hold_workdir(tmp_path, RUN),
    ):
        pass
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("error", [UserError, MemoryError, RuntimeError])
def test_whatever_fails_before_the_first_save_frees_the_folder(
    error: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(error), hold_workdir(tmp_path / "run", RUN):
        raise error
    assert contents(tmp_path) == {}


def test_folder_of_a_run_that_was_killed_before_its_first_save_is_free(tmp_path: Path) -> None:
    open_workdir(tmp_path, RUN)
    with hold_workdir(tmp_path, OTHER):
        assert read_workdir(tmp_path) == OTHER


@pytest.mark.parametrize("saved", ["checkpoints/latest/2/state", "result.json", "result-2w1s.json"])
def test_folder_of_a_run_that_saved_anything_is_not_free(saved: str, tmp_path: Path) -> None:
    open_workdir(tmp_path, RUN)
    (tmp_path / saved).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / saved).write_text("{}")
    before = contents(tmp_path)
    with pytest.raises(UserError, match="lr is"), hold_workdir(tmp_path, OTHER):
        pass
    with pytest.raises(RuntimeError), hold_workdir(tmp_path, RUN):
        raise RuntimeError
    assert contents(tmp_path) == before


def test_configuration_of_something_else_is_kept(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": []}')
    before = contents(tmp_path)
    with pytest.raises(UserError, match="not the configuration"), hold_workdir(tmp_path, RUN):
        pass
    assert contents(tmp_path) == before


def test_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"), hold_workdir(tmp_path / "file", RUN):
        pass
