"""The examples in CONTRIBUTING.md, done as it says in a copy of the repository."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.programs import ROOT, make_images, words

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
# A file with its name before it, and lines to add to others
FILES = re.findall(r"`(\S+)`:\n\n```(?:python|json)\n(.*?)```", PAGE, re.S)
CHANGES = re.findall(r"```diff\n(.*?)```", PAGE, re.S)


def change(copy: Path, block: str) -> None:
    """Make the changes of a block: of each file, parts whose unchanged and removed lines occur
    once.
    """
    for part in re.split(r"^--- ", block, flags=re.M)[1:]:
        name, _, hunks = part.partition("\n")
        path = copy / name
        text = path.read_text()
        for hunk in hunks.split("@@\n"):
            lines = hunk.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines if line[0] != "+")
            after = "".join(line[1:] for line in lines if line[0] != "-")
            assert text.count(before) == 1, (name, before)
            text = text.replace(before, after)
        path.write_text(text)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with the files and the lines of the page."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("metalearn", "experiments", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for name, text in FILES:
        (copy / name).write_text(text)
    for block in CHANGES:
        change(copy, block)
    return copy


def python(copy: Path, *arguments: str) -> str:
    ours = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=ours, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_contributing_shows_a_method_a_data_set_and_a_setting() -> None:
    assert [name.split("/")[1] for name, _ in FILES] == ["learners", "data", "data"]
    assert len(CHANGES) == 3


def test_method_of_contributing_keeps_the_contract_and_runs(copy: Path, tmp_path: Path) -> None:
    """The tests that take every method there is take it too, and no other test of the registry
    minds it.
    """
    tests = ("test_contract.py", "test_presets.py")
    files = [f"tests/learners/{name}" for name in tests]
    said = python(
        copy,
        "-m",
        "pytest",
        "-vv",
        *files,
        "tests/test_settings.py",
        "-k",
        "cityblock or has_a_recipe",
    )
    assert (
        len(re.findall(r"test_contract.*cityblock.* PASSED", said)) >= 10
        and "has_a_recipe PASSED" in said
    )
    images = make_images(tmp_path / "images")
    chosen = dict(method="cityblock", sharpness=2.0, workdir=tmp_path / "run")
    unread = dict.fromkeys(("inner_steps", "test_inner_steps", "batch_size"))
    settings = words(images, **chosen, **unread)
    said = python(copy, "-m", "experiments.embedding", *settings)
    assert "2-way 1-shot, cityblock conv2-8, inductive (running): " in said


class Trained(NamedTuple):
    """What a training on the example's data set said, its folder, and flags that say where images
    are.
    """

    said: str
    workdir: Path
    places: list[str]


@pytest.fixture(scope="module")
def trained(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A body trained on the data set of the page."""
    root = tmp_path_factory.mktemp("pets")
    lists = json.loads((copy / "metalearn" / "data" / "splits" / "pets.json").read_text())
    names = [name for split in ("train", "valid", "test") for name in lists[split]]
    images = make_images(root / "images", classes=len(names))
    for folder, name in zip(sorted(images.iterdir()), names, strict=True):
        folder.rename(images / name)
    workdir = root / "run"
    chosen = dict(dataset="pets", image_size=None, method="simpleshot", augment="none")
    unread = dict.fromkeys(("train_queries", "inner_steps", "test_inner_steps"))
    settings = words(images, workdir=workdir, **chosen, **unread)
    places = [word for word in settings if word.startswith(("--data_dir", "--cache_dir"))]
    return Trained(python(copy, "-m", "experiments.finetune", *settings), workdir, places)


def test_data_set_of_contributing_is_trained_on(trained: Trained) -> None:
    assert "pets 2-way 1-shot, simpleshot conv2-8, inductive (running): " in trained.said


def test_setting_of_contributing_is_tested_with(copy: Path, trained: Trained) -> None:
    run = f"--workdir={trained.workdir}"
    python(copy, "-m", "experiments.evaluate", run, "--cosine", *trained.places)
    records = [json.loads(path.read_text()) for path in trained.workdir.glob("result-*.json")]
    assert sorted(record["config"]["cosine"] for record in records) == [False, True]
