"""Runs that come along as archives: each is what the page beside them says."""

import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from experiments._cli.flags import parsed, trained_config
from metalearn.config import Config
from metalearn.records.workdir import read_workdir
from metalearn.training.checkpoint import Checkpoints
from tests.programs import ROOT

FOLDER = ROOT / "results" / "trained"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
LINES = re.findall(
    r"^\| `([^`]+)\.tar\.gz` \| `python -m experiments\.(.+?)` \| (.+?) \|$", PAGE, re.M
)


def test_every_archive_is_on_the_page() -> None:
    there = {path.name.removesuffix(".tar.gz") for path in FOLDER.glob("*.tar.gz")}
    assert there == {name for name, _, _ in LINES}


@pytest.mark.parametrize(("name", "command", "updates"), LINES, ids=[line[0] for line in LINES])
def test_archive_is_a_run_of_its_command(
    name: str, command: str, updates: str, tmp_path: Path
) -> None:
    archive = FOLDER / f"{name}.tar.gz"
    subprocess.run(["tar", "-xzf", archive, "-C", tmp_path], check=True)
    workdir = tmp_path / name
    config = read_workdir(workdir).config
    program, *flags = command.split()
    asked = trained_config({"method": program} | parsed(flags))
    assert [
        f.name for f in fields(Config) if getattr(config, f.name) != getattr(asked, f.name)
    ] == []
    done = int(updates.split(" of ")[0].replace(",", ""))
    assert Checkpoints(workdir).latest_step() == done
