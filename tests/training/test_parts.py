"""What is checked before a training begins."""

import dataclasses

import numpy as np
import pytest

from metalearn.config import Config
from metalearn.data.source import Dataset, Split
from metalearn.errors import UserError
from metalearn.training.parts import check_new_classes, support_copies

CONFIG = Config(method="protonet")


def made(name: str, train: str, test: str, shared: bool = False) -> Dataset:
    """A dataset of classes with these letters as names, without any image."""
    splits = [
        Split(np.zeros((0, 2, 2, 1), np.uint8), np.zeros(len(names), np.int32), tuple(names))
        for names in (train, train, test)
    ]
    ones = np.ones(1, np.float32)
    return Dataset(name, *splits, mean=ones, std=ones, shared=shared)


def test_test_classes_that_are_trained_on_are_refused() -> None:
    digits = made("digits", "abc", "abc", shared=True)
    with pytest.raises(UserError, match="digits trains on 3 of digits's test classes, such as a"):
        check_new_classes(CONFIG, digits, digits)
    with pytest.raises(UserError, match="digits trains on 1 of other's test classes, such as c"):
        check_new_classes(CONFIG, digits, made("other", "ab", "cd"))
    with pytest.raises(UserError, match="first trains on 2 of second's test classes, such as b"):
        check_new_classes(CONFIG, made("first", "abc", "de"), made("second", "de", "bcf"))


def test_other_test_classes_are_allowed() -> None:
    digits = made("digits", "abc", "abc", shared=True)
    check_new_classes(CONFIG, digits, made("other", "abc", "de"))
    check_new_classes(CONFIG, made("other", "de", "f"), digits)
    check_new_classes(CONFIG, made("other", "de", "f"), made("other", "de", "f"))


def test_what_is_not_trained_may_be_tested_on_any_classes() -> None:
    digits = made("digits", "abc", "abc", shared=True)
    check_new_classes(dataclasses.replace(CONFIG, steps=0), digits, digits)


def test_copies_are_mirrored_by_what_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of photographs may be tested on characters, and the other way round."""
    monkeypatch.setattr("metalearn.training.parts.augmentation", lambda names: names)
    for dataset, other in (("cifar_fs", "omniglot"), ("omniglot", "cifar_fs")):
        config = Config(method="rfs", dataset=dataset, test_dataset=other, support_copies=5)
        assert support_copies(config, other).transform == (
            "crop" if other == "omniglot" else "crop,flip"
        )
