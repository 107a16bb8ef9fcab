"""Examples in docstrings: each runs as it stands, and gives what it shows."""

import doctest
import importlib
from pathlib import Path

import pytest

from tests.programs import few_glyphs

ROOT = Path(__file__).resolve().parent.parent
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "metalearn").rglob("*.py"))
    if ">>> " in path.read_text()
]
# What a user calls first has an example.
CALLED_FIRST = {
    "metalearn.data",
    "metalearn.data.augment",
    "metalearn.data.episodes",
    "metalearn.evaluation.episodes",
    "metalearn.evaluation.evaluator",
    "metalearn.learners.maml",
    "metalearn.learners.method",
    "metalearn.learners.protonet",
    "metalearn.models",
    "metalearn.ops.inner_loop",
    "metalearn.ops.losses",
    "metalearn.records.report",
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return few_glyphs(tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("module", MODULES)
def test_docstring_examples_give_what_they_show(
    module: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METALEARN_CACHE", str(cache))
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0 and result.failed == 0


def test_functions_that_are_called_first_have_an_example() -> None:
    assert set(MODULES) >= CALLED_FIRST
