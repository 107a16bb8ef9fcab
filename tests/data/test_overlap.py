"""Images in two splits are found; how many there are in the real datasets."""

from pathlib import Path

import numpy as np
import pytest

from metalearn.data import load
from metalearn.data.overlap import Shared, overlap
from metalearn.data.source import Dataset, Split
from tests.programs import make_images, process


def split(images: np.ndarray, *counts: int) -> Split:
    return Split(images, np.array(counts, np.int32), tuple(f"c{i}" for i in range(len(counts))))


def test_overlap_names_shared_images_and_their_classes() -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 1), np.uint8)
    test = images[6:].copy()
    test[4] = images[2]
    dataset = Dataset(
        "x",
        split(images[:4], 1, 3),
        split(images[4:6], 2),
        split(test, 4, 2),
        np.ones(1),
        np.ones(1),
    )
    found = overlap(dataset)
    assert found["train", "test"] == [Shared(2, 4, "c1", "c1")]
    assert found["train", "valid"] == found["valid", "test"] == []


@pytest.mark.parametrize(
    ("name", "counts"), [("cifar_fs", (8, 6, 1)), ("fc100", (2, 1, 0)), ("omniglot", (0, 0, 0))]
)
def test_overlap_of_the_published_splits(
    name: str, counts: tuple[int, int, int], data_dir: Path, cache_dir: Path
) -> None:
    found = overlap(load(name, data_dir, cache_dir))
    assert {pair: len(shared) for pair, shared in found.items()} == {
        ("train", "valid"): counts[0],
        ("train", "test"): counts[1],
        ("valid", "test"): counts[2],
    }


def test_overlap_program_prints_shared_images(tmp_path: Path) -> None:
    images = make_images(tmp_path / "images")
    said = process(
        "overlap",
        "--dataset=folder",
        f"--data_dir={images}",
        f"--cache_dir={tmp_path}",
        cwd=tmp_path,
    )
    assert said.code == 0 and "0 of the 16 images of test also occur in train" in said.out, said
