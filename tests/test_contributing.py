"""The example of a new method in CONTRIBUTING.md, done as it says in a copy of the repository."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import ROOT, make_images, words

FILE, IMPORT, LINE = re.findall(
    r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository with the method's file, its import and its line in the registry."""
    for name in ("metalearn", "experiments", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "metalearn" / "learners" / "cityblock.py").write_text(FILE)
    path = tmp_path / "metalearn" / "learners" / "registry.py"
    text = path.read_text()
    beside, registry = "from metalearn.learners.heads import", "EMBEDDING: Makers = {"
    assert text.count(beside) == 1 and text.count(registry) == 1
    line = text.index("\n", text.index(registry)) + 1
    path.write_text((text[:line] + LINE + text[line:]).replace(beside, IMPORT + beside))
    return tmp_path


def python(copy: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_keeps_the_contract_and_runs(copy: Path) -> None:
    """The tests that take every method there is take it too, and no other test of the registry
    minds it.
    """
    tests = ("tests/learners/test_contract.py", "tests/learners/test_presets.py")
    said = python(copy, "-m", "pytest", "-vv", *tests, "-k", "cityblock or default")
    assert (
        len(re.findall(r"test_contract.*cityblock.* PASSED", said)) >= 10
        and "has_a_default PASSED" in said
    )
    images = make_images(copy / "images")
    settings = words(images, method="cityblock", norm="running", workdir=copy / "run")
    said = python(copy, "-m", "experiments.embedding", *settings)
    assert "2-way 1-shot, cityblock conv2-8, inductive (running): " in said
