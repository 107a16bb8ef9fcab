"""The example of a new method in CONTRIBUTING.md, done as it says."""

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from metalearn import methods
from tests import test_contract
from tests.programs import ROOT, make_images, program, words
from tests.test_contract import tiny_backbone  # noqa: F401

FILE, LINE = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The method's name, with its file importable and its line in the registry."""
    module = types.ModuleType("metalearn.learners.cityblock")
    exec(compile(FILE, "metalearn/learners/cityblock.py", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    (entry,) = eval("{" + LINE + "}", vars(methods) | {"cityblock": module.cityblock}).items()
    for registry in (methods.EMBEDDING, methods.METHODS):
        monkeypatch.setitem(registry, *entry)
    return entry[0]


@pytest.mark.usefixtures("tiny_backbone")
def test_it_keeps_the_contract(added: str) -> None:
    case = test_contract.Case(added, "running", "euclidean")
    for test in (
        test_contract.test_signatures,
        test_contract.test_shapes_and_one_compilation,
        test_contract.test_vmap_over_tasks_is_a_loop,
        test_contract.test_order_of_queries_does_not_matter,
        test_contract.test_names_of_classes_do_not_matter,
        test_contract.test_order_of_support_does_not_matter,
        test_contract.test_only_batch_moments_tell_queries_of_each_other,
        test_contract.test_support_labels_matter,
        test_contract.test_loss_falls,
    ):
        test(case)


def test_it_runs(added: str, tmp_path: Path) -> None:
    images = make_images(tmp_path / "images")
    said = program("embedding", *words(images, method=added, norm="running", workdir=tmp_path / "run"))
    assert said.code == 0 and "2-way 1-shot, cityblock conv4-8, inductive (running): " in said.out, said
