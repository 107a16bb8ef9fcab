"""Whether a classifier begins with a body that has seen images it is tested on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metalearn.config import Config
from metalearn.data.source import Dataset, Split
from metalearn.errors import UserError
from metalearn.records.divided import check_division
from metalearn.records.workdir import Saved, open_workdir

Capture = pytest.CaptureFixture[str]
SEEN = "has seen some of the test images"


def dataset(name: str, digest: str = "here", shared: bool = True, by_seed: bool = True) -> Dataset:
    none = Split(np.zeros((0, 2, 2, 1), np.uint8), np.zeros(0, np.int32), ())
    ones = np.ones(1, np.float32)
    return Dataset(
        name, none, none, none, ones, ones, digest=digest, shared=shared, by_seed=by_seed
    )


def begun(
    folder: Path, name: str, classes: str = "ab", images: str = "there", **given: Any
) -> Config:
    """The config of a classifier that begins from a run on a data set of this name."""
    settings = {"method": "scratch", "steps": 10} | given
    open_workdir(
        folder, Saved(Config(dataset=name, **settings), images=images, classes=tuple(classes))
    )
    return Config(method="fine_tune", init_from=str(folder))


def check(config: Config, here: Dataset, again: str = "") -> None:
    """With images that, read as for the earlier run, have the digest `again`; '' for unreadable."""

    def load_again(saved: Saved) -> Dataset:
        if not again:
            raise UserError("no such images")
        return dataset("again", again)

    check_division(config, here, ("b", "c"), load_again)


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ("mini_imagenet", dataset("mini_imagenet", shared=False, by_seed=False)),
        ("labelled_tfds:beans", dataset("labelled_tfds:beans")),
        ("tfds:beans/small", dataset("labelled_tfds:beans", by_seed=False)),
        ("cifar_fs", dataset("cifar100", by_seed=False)),
        ("cifar100", dataset("cifar_fs", shared=False, by_seed=False)),
    ],
)
def test_images_divided_otherwise_are_refused(there: str, here: Dataset, tmp_path: Path) -> None:
    config = begun(tmp_path, there)
    with pytest.raises(UserError, match=f"scratch was trained on images of {there} .* {SEEN}"):
        check(config, here)
    check(config, here._replace(digest="there"))


@pytest.mark.parametrize("there", ["folder", "labelled"])
def test_images_of_ones_own_are_looked_at_again(
    there: str, tmp_path: Path, capsys: Capture
) -> None:
    """At the size that the run had: the digest of another says nothing."""
    config = begun(tmp_path, there)
    with pytest.raises(UserError, match=SEEN):
        check(config, dataset("labelled"), again="there")
    for others in ("", "others"):
        check(config, dataset("labelled"), again=others)
        assert "it may have seen test images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ({"name": "grocery"}, dataset("grocery", by_seed=False)),
        ({"name": "cifar10"}, dataset("cifar100", by_seed=False)),
        ({"name": "usps"}, dataset("mnist", by_seed=False)),
        ({"name": "labelled", "classes": "xy"}, dataset("labelled")),
        ({"name": "labelled", "steps": 0, "method": "probe"}, dataset("labelled")),
    ],
)
def test_other_images_or_published_tests_are_not_refused(
    there: dict, here: Dataset, tmp_path: Path, capsys: Capture
) -> None:
    check(begun(tmp_path, **there), here)
    assert not capsys.readouterr().err


def test_earlier_runs_count(tmp_path: Path) -> None:
    begun(tmp_path / "first", "labelled_tfds:beans", seed=7)
    config = begun(tmp_path / "second", "omniglot", init_from=str(tmp_path / "first"))
    with pytest.raises(UserError, match=f"{SEEN}, such as of b: give --seed=7"):
        check(config, dataset("labelled_tfds:beans"))
