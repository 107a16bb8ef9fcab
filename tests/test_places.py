"""The folders that a program is given, and the settings of JAX that it refuses."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from experiments._cli.lab import check_jax
from experiments._cli.places import check_run_folder
from metalearn.errors import UserError
from tests.programs import environment, make_images, process, program, words

Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("folder") / "images")


@pytest.mark.parametrize("name", ["a[1]", "b]", "c*", "d?", "e\\f"])
def test_folder_name_that_is_a_pattern_is_refused(images: Path, tmp_path: Path, name: str) -> None:
    """The library that writes checkpoints takes it for a pattern when it reads them."""
    said = program("protonet", *words(images, workdir=tmp_path / name / "run"))
    assert "could not be read again, for the" in said.complaint and name in said.complaint
    assert list(tmp_path.iterdir()) == []


def test_folder_within_one_that_is_a_pattern_is_refused(
    images: Path, tmp_path: Path, monkeypatch: Patch
) -> None:
    (tmp_path / "a[1]").mkdir()
    monkeypatch.chdir(tmp_path / "a[1]")
    said = program("protonet", *words(images))
    assert "a[1]/runs/folder-protonet" in said.complaint
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("name", ["workdir", "init_from", "results_dir", "data_dir", "cache_dir"])
def test_folder_of_another_machine_is_refused(images: Path, name: str) -> None:
    said = program("protonet", *words(images, **{name: "gs://bucket/run"}))
    assert said.complaint.startswith(f"--{name}=gs://bucket/run is no folder of this machine")


def test_folder_name_that_is_not_utf8_is_refused(images: Path) -> None:
    said = program("protonet", *words(images, workdir=os.fsdecode(b"/tmp/\xff")))
    assert "/tmp/\\udcff is not UTF-8" in said.complaint


def test_ordinary_folder_names_are_accepted(tmp_path: Path) -> None:
    check_run_folder(tmp_path / "it's {a} (run), ±1 %, 漢字 #2 $HOME !")


def test_tilde_in_a_folder_flag_is_the_home_folder(
    images: Path, tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setenv("HOME", str(images.parent))
    monkeypatch.chdir(tmp_path)
    places = {"data_dir": "~/images", "cache_dir": "~/cache", "workdir": "~/run", "steps": 2}
    assert program("protonet", *words(images, **places)).code == 0
    said = program("protonet", *words(images, **places, init_from="~/none"))
    assert f"{images.parent}/none holds no run" in said.complaint
    assert list(tmp_path.iterdir()) == [] and (images.parent / "run" / "config.json").exists()


def test_a_closed_output_is_no_error(tmp_path: Path) -> None:
    """As under some daemons: then there is no `sys.stdout`."""
    code = "from experiments._cli.start import start; start(lambda: print('done'))"
    command = ["sh", "-c", f'exec "{sys.executable}" -c "$0" >&-', code]
    said = subprocess.run(command, env=environment(), cwd=tmp_path, capture_output=True)
    assert (said.returncode, said.stderr) == (0, b"")


@pytest.mark.parametrize("platform", ["cuda", "rocm"])
def test_missing_device_is_a_one_line_error(images: Path, tmp_path: Path, platform: str) -> None:
    said = process("protonet", *words(images), cwd=tmp_path, JAX_PLATFORMS=platform)
    if said.code == 0:
        pytest.skip(f"this machine has {platform}")
    assert f"JAX finds no device of JAX_PLATFORMS={platform} (" in said.complaint


@pytest.fixture
def float64() -> Iterator[None]:
    """As JAX_ENABLE_X64 sets it."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def test_runs_in_float64_are_refused(float64: None) -> None:
    with pytest.raises(UserError, match="JAX_ENABLE_X64: runs are in float32"):
        check_jax()


def test_accuracy_is_printed_in_any_encoding(tmp_path: Path) -> None:
    code = "from experiments._cli.start import start; start(lambda: print('95.81 ± 0.4 %'))"
    here = environment(PYTHONIOENCODING="ascii")
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, env=here, cwd=tmp_path, capture_output=True, check=True)
    assert said.stdout == b"95.81 ? 0.4 %\n"
