"""The class lists of the package are those that were published, where these are at hand."""

import csv
import json
from pathlib import Path

import pytest

from metalearn.data.splits import load_split

FILES = {"train": "train", "valid": "val", "test": "test"}  # ours -> the published files'


@pytest.fixture
def published(data_dir: Path) -> Path:
    if not (data_dir / "splits").is_dir():
        pytest.skip(f"no splits in {data_dir}")
    return data_dir / "splits"


@pytest.mark.parametrize("split", FILES)
def test_classes_of_cifar_are_as_published(split: str, published: Path) -> None:
    file = f"{FILES[split]}.json"
    fine = [name for _, name in json.loads((published / "cifar-fs" / file).read_text())]
    coarse = json.loads((published / "fc100" / file).read_text())
    assert sorted(load_split("cifar_fs")[split]) == sorted(fine)
    assert sorted(load_split("fc100")[split]) == sorted(coarse)


@pytest.mark.parametrize("split", FILES)
def test_classes_of_mini_imagenet_are_as_published(split: str, published: Path) -> None:
    with open(published / "miniimagenet" / f"{FILES[split]}.csv") as stream:
        labels = {row["label"] for row in csv.DictReader(stream)}
    assert sorted(load_split("mini_imagenet")[split]) == sorted(labels)


@pytest.mark.parametrize("split", FILES)
def test_characters_of_omniglot_are_as_published(split: str, published: Path) -> None:
    lines = (published / "omniglot" / f"{FILES[split]}.txt").read_text().split()
    characters = {line.rpartition("/")[0] for line in lines}
    ours = {
        f"{alphabet}/character{number:02d}"
        for alphabet, numbers in load_split("omniglot")[split].items()
        for number in numbers
    }
    assert ours == characters
