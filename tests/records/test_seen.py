"""Test classes that a body was trained on before."""

from pathlib import Path

import numpy as np
import pytest

from metalearn.config import Config
from metalearn.data.source import Dataset, Split
from metalearn.errors import UserError
from metalearn.records.record import Stage
from metalearn.records.seen import check_new_to_body
from metalearn.records.workdir import Saved, open_workdir


def dataset(name: str, digest: str = "", shared: bool = False) -> Dataset:
    none = Split(np.zeros((0, 2, 2, 1), np.uint8), np.zeros(0, np.int32), ())
    ones = np.ones(1, np.float32)
    return Dataset(name, none, none, none, ones, ones, digest=digest, shared=shared)


def begun(folder: Path, **settings: object) -> Config:
    """The config of a run that begins from one with these settings."""
    there = Config(**({"method": "scratch", "steps": 10} | settings))
    open_workdir(folder, Saved(there, "", (), "abc"))
    return Config(method="protonet", init_from=str(folder))


@pytest.mark.parametrize(
    ("trained", "tested"),
    [
        ({"dataset": "cifar_fs"}, dataset("cifar_fs")),
        ({"dataset": "cifar100"}, dataset("cifar_fs")),
        ({"dataset": "cifar_fs"}, dataset("fc100")),
        ({"dataset": "cifar10"}, dataset("cifar10", shared=True)),
        ({"dataset": "cifar10", "learned": "valid"}, dataset("cifar10", shared=True)),
        ({"dataset": "folder"}, dataset("folder", "abc")),
        ({"dataset": "usps", "target": "mnist", "method": "dann"}, dataset("mnist", shared=True)),
    ],
)
def test_classes_that_a_body_learned_are_not_new_to_it(
    trained: dict, tested: Dataset, tmp_path: Path
) -> None:
    config = begun(tmp_path, **trained)
    with pytest.raises(UserError, match="test classes are among what it learned"):
        check_new_to_body(config, tested)


@pytest.mark.parametrize(
    ("trained", "tested"),
    [
        ({"dataset": "cifar_fs", "learned": "valid"}, dataset("cifar_fs")),
        ({"dataset": "cifar_fs"}, dataset("omniglot")),
        ({"dataset": "folder"}, dataset("folder", "another")),
        ({"dataset": "cifar_fs", "method": "probe", "steps": 0}, dataset("cifar_fs")),
        ({"dataset": "cifar_fs", "method": "rfs"}, dataset("cifar_fs")),
    ],
)
def test_other_classes_are_new_to_a_body(trained: dict, tested: Dataset, tmp_path: Path) -> None:
    check_new_to_body(begun(tmp_path, **trained), tested)
    check_new_to_body(Config(method="protonet"), tested)


def test_what_an_earlier_run_began_from_counts(tmp_path: Path) -> None:
    first = Stage("init_from", Config(method="scratch", dataset="cifar_fs", steps=10), (), 1.0)
    there = Config(method="rfs", dataset="omniglot", steps=10, init_from="elsewhere")
    open_workdir(tmp_path, Saved(there, "", (first,), "abc"))
    config = Config(method="protonet", init_from=str(tmp_path))
    with pytest.raises(UserError, match="scratch was trained on cifar_fs"):
        check_new_to_body(config, dataset("cifar_fs"))
