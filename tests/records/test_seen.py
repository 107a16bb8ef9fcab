"""Test classes that a body was trained on before."""

from pathlib import Path

import numpy as np
import pytest

from metalearn.config import Config
from metalearn.data.source import Dataset, Split
from metalearn.errors import UserError
from metalearn.records.record import Stage
from metalearn.records.seen import check_new_to_body, check_new_to_run, learned_by
from metalearn.records.workdir import Saved, open_workdir


def dataset(name: str, digest: str = "", shared: bool = False, test: str = "") -> Dataset:
    """One whose test classes have these letters as names."""
    none = Split(np.zeros((0, 2, 2, 1), np.uint8), np.zeros(0, np.int32), ())
    ones = np.ones(1, np.float32)
    tested = none._replace(names=tuple(test))
    return Dataset(name, none, none, tested, ones, ones, digest=digest, shared=shared)


def begun(folder: Path, classes: str | None = None, **settings: object) -> Config:
    """The config of a run that begins from one with these settings, and classes named by letters.

    Without classes it is a run of an older version, which does not say.
    """
    there = Config(**({"method": "scratch", "steps": 10} | settings))
    names = None if classes is None else tuple(classes)
    open_workdir(folder, Saved(there, "", (), "abc", classes=names))
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
        ({"dataset": "usps"}, dataset("mnist", shared=True)),
        ({"dataset": "grocery_iconic"}, dataset("grocery", shared=True)),
        ({"dataset": "labelled_tfds:beans"}, dataset("tfds:beans/small:1.0.0")),
        ({"dataset": "tfds:mnist", "method": "protonet"}, dataset("mnist", shared=True)),
        ({"dataset": "cifar_fs", "method": "rfs"}, dataset("fc100")),
        ({"dataset": "cifar100", "method": "protonet"}, dataset("cifar100", shared=True)),
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


@pytest.mark.parametrize("method", ["scratch", "protonet"])
def test_classes_that_a_folder_names_are_not_new(method: str, tmp_path: Path) -> None:
    """Whatever the data sets are called, and whatever seed divides them."""
    config = begun(tmp_path, classes="abc", dataset="folder", method=method)
    with pytest.raises(
        UserError, match="2 of folder's test classes .* it learned, such as b: begin"
    ):
        check_new_to_body(config, dataset("folder", "another", test="bcd"))
    with pytest.raises(UserError, match="1 of other's test classes .* such as a: test it on"):
        check_new_to_run(tmp_path, dataset("other", test="ax"))
    for check, where in ((check_new_to_body, config), (check_new_to_run, tmp_path)):
        check(where, dataset("folder", "another", test="de"))


def test_what_a_run_began_with_is_learned_too(tmp_path: Path) -> None:
    config = begun(tmp_path, classes="ca", dataset="folder")
    assert learned_by(config, "db") == ("a", "b", "c", "d")
    untrained = Config(method="protonet", steps=0, init_from=str(tmp_path))
    assert learned_by(untrained, "db") == ("a", "c")


def test_an_older_run_is_judged_by_the_name_of_its_data(tmp_path: Path) -> None:
    begun(tmp_path, dataset="cifar_fs", method="rfs")
    check_new_to_run(tmp_path, dataset("cifar_fs"))
    with pytest.raises(UserError, match="rfs was trained on cifar_fs there"):
        check_new_to_run(tmp_path, dataset("cifar100", shared=True))
