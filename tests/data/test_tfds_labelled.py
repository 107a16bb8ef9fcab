"""`labelled_tfds:NAME`: a TFDS dataset by its own splits of images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metalearn.data import find_reader, resizes
from metalearn.data.source import Prepared
from metalearn.errors import UserError

pytest.importorskip("tensorflow_datasets")

from tests.data.test_tfds import brightness_of, of_classes, prepare


def read(folder: Path, size: int | None = None, seed: int = 0) -> Prepared:
    found = find_reader("labelled_tfds:toy", seed, size).read(folder)
    assert isinstance(found, Prepared) and found.shared
    return found


def counts_of(splits: Prepared) -> dict[str, list[int]]:
    return {name: split.counts.tolist() for name, split in splits.items()}


def spread(labels: range, per_class: int, brightness: int = 0, **options: Any) -> list[Any]:
    """Examples whose brightness tells them apart, so that none is a near-duplicate."""
    some = of_classes(labels, per_class, brightness=brightness, **options)
    return [(size, label, 40 * (light - brightness) + brightness) for size, label, light in some]


def test_published_splits_are_kept(tmp_path: Path) -> None:
    examples = {
        "test": of_classes(range(3, 5), 2, brightness=100),
        "train": of_classes(range(3, 5), 3),
        "validation": of_classes(range(4, 5), 1, brightness=50),
        "extra": of_classes(range(5), 9),
    }
    prepare(tmp_path, shape=(6, 8, 3), splits=examples)
    splits = read(tmp_path)
    assert counts_of(splits) == {"train": [3, 3], "valid": [0, 1], "test": [2, 2]}
    assert {split.names for split in splits.values()} == {("class 3", "class 4")}
    assert brightness_of(splits["train"]) == [0, 1, 2] * 2 and not splits.by_seed
    assert splits["test"].images.shape == (4, 6, 6, 3)
    assert any("no validation images of 1 of 2 classes" in line for line in splits.notes)


def test_validation_is_drawn_where_there_is_none(tmp_path: Path) -> None:
    examples = {"train": spread(range(2), 5), "test": spread(range(2), 2, 3)}
    prepare(tmp_path, shape=(6, 8, 1), splits=examples)
    splits = read(tmp_path)
    assert counts_of(splits) == {"train": [4, 4], "valid": [1, 1], "test": [2, 2]}
    assert splits.by_seed and splits["train"].images.shape[1:] == (6, 6, 1)
    assert len({read(tmp_path, seed=s)["valid"].images.tobytes() for s in range(5)}) > 1


def test_grey_images_that_look_alike_are_shared_out_and_colour_ones_stay_together(
    tmp_path: Path,
) -> None:
    alike = [((8, 6), number // 6, 3 * number) for number in range(12)]
    prepare(tmp_path / "grey", shape=(6, 8, 1), splits={"everything": alike})
    assert counts_of(read(tmp_path / "grey"))["train"] == [4, 4]
    colours = [*spread(range(2), 6), ((8, 6), 0, 1)]
    prepare(tmp_path / "rgb", shape=(6, 8, 3), splits={"everything": colours})
    assert any("are near-duplicates of others" in line for line in read(tmp_path / "rgb").notes)


def test_published_validation_is_the_test_where_there_is_none(tmp_path: Path) -> None:
    examples = {
        "train": spread(range(2), 4),
        "validation": spread(range(2), 3, 5),
        "test": [((8, 6), -1, 9)],  # without labels
    }
    prepare(tmp_path, splits=examples)
    assert counts_of(read(tmp_path)) == {"train": [3, 3], "valid": [1, 1], "test": [3, 3]}


def test_a_single_split_is_shared_out(tmp_path: Path) -> None:
    prepare(tmp_path, shape=(6, 8, 1), splits={"everything": spread(range(2), 6)})
    assert counts_of(read(tmp_path)) == {"train": [4, 4], "valid": [1, 1], "test": [1, 1]}


def test_images_are_cropped_and_small_ones_are_not_resized(tmp_path: Path) -> None:
    examples = {"train": spread(range(2), 3, size=(20, 10)), "test": spread(range(2), 3)}
    prepare(tmp_path, splits=examples)
    assert read(tmp_path, 5)["train"].images.shape == (4, 5, 5, 3)
    prepare(tmp_path / "fixed", shape=(6, 8, 3), splits={"train": spread(range(2), 4)})
    assert read(tmp_path / "fixed", 8)["train"].images.shape[1:] == (6, 6, 3)
    assert read(tmp_path / "fixed", 7)["train"].images.shape[1:] == (7, 7, 3)
    assert np.unique(read(tmp_path / "fixed", 7)["train"].images[..., 2]).tolist() == [7]


WRONG = {
    "other classes": (
        {"train": of_classes(range(2)), "test": of_classes(range(1, 3))},
        "labelled_tfds:toy: classes differ: 'class 2' in test .* 'class 0' in train but not in te",
    ),
    "one class": ({"train": of_classes(range(1), 5)}, r"has 1 classes \(class 0\)"),
    "no training": (
        {"a": of_classes(range(2)), "b": of_classes(range(2))},
        "labelled_tfds:toy has the splits a, b, of which none is for training",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_error_for_unfit_splits_is_one_line(tmp_path: Path, case: str) -> None:
    splits, message = WRONG[case]
    prepare(tmp_path, splits=splits)
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_its_images_can_be_resized() -> None:
    assert resizes("labelled_tfds:toy") and resizes("labelled") and resizes("grocery")
    assert not resizes("mnist")
