"""`labelled`: class folders, the same classes in training and test."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metalearn.data import load
from metalearn.data.source import Dataset
from metalearn.errors import UserError

Capture = pytest.CaptureFixture[str]


def save(path: Path, seed: int, size: tuple[int, int] = (12, 12)) -> Path:
    """A random picture of 4 x 4 patches."""
    path.parent.mkdir(parents=True, exist_ok=True)
    patches = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(patches).resize(size, Image.Resampling.NEAREST).save(path)
    return path


def make_classes(folder: Path, names: str, count: int, seed: int = 0, side: int = 12) -> Path:
    for index, name in enumerate(names):
        for number in range(count):
            number_of_all = 1000 * seed + 100 * index + number
            save(folder / name / f"{number}.png", number_of_all, (side, side))
    return folder


def opened(folder: Path, seed: int = 0, size: int | None = None) -> Dataset:
    return load("labelled", folder, folder.parent / "cache", seed, size)


def counts_of(dataset: Dataset) -> list[list[int]]:
    return [split.counts.tolist() for split in dataset[1:4]]


def test_one_folder_is_split_by_seed_within_each_class(tmp_path: Path) -> None:
    folder = make_classes(tmp_path / "images", "ab", 20)
    dataset = opened(folder)
    assert dataset.shared and dataset.by_seed
    assert {split.names for split in dataset[1:4]} == {("a", "b")}
    assert counts_of(dataset) == [[14, 14], [2, 2], [4, 4]]
    other = opened(folder, seed=1)
    assert other.digest != dataset.digest and other.images == dataset.images
    assert counts_of(other) == counts_of(dataset)


def test_own_split_folders_stay_as_they_are(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "images"
    for seed, (split, names) in enumerate((("train", "abc"), ("val", "ac"), ("Test", "abc"))):
        make_classes(folder / split, names, 3, seed)
    dataset = opened(folder)
    assert counts_of(dataset) == [[3, 3, 3], [3, 0, 3], [3, 3, 3]] and not dataset.by_seed
    assert {split.names for split in dataset[1:4]} == {("a", "b", "c")}
    assert "no validation images of 1 of 3 classes, such as b" in capsys.readouterr().err


def test_validation_is_drawn_from_training_where_there_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    make_classes(folder / "train", "ab", 10)
    make_classes(folder / "test", "ab", 2, seed=1)
    dataset = opened(folder)
    assert counts_of(dataset) == [[9, 9], [1, 1], [2, 2]] and dataset.by_seed
    assert opened(folder, seed=1).test.images.tobytes() == dataset.test.images.tobytes()


def test_near_duplicates_are_in_one_split(tmp_path: Path, capsys: Capture) -> None:
    folder = make_classes(tmp_path / "images", "ab", 12, side=72)
    for number in range(12):  # each saved again, with losses
        with Image.open(folder / "a" / f"{number}.png") as image:
            image.save(folder / "a" / f"{number}-again.jpg", quality=60)
    shutil.copy(folder / "b" / "0.png", folder / "b" / "copy.png")
    dataset = opened(folder)
    told = capsys.readouterr().err
    assert "26 of 37 images are near-duplicates of others: each of their 13 groups" in told
    for split in dataset[1:4]:
        first = split.images[: split.counts[0]].astype(int)
        apart = np.abs(first[:, None] - first[None]).mean(axis=(2, 3, 4))
        apart[np.eye(len(first), dtype=bool)] = 255
        assert (apart.min(axis=1) < 10).all()  # its other version is there


def test_photographs_are_resized_and_cropped_once(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    for name in "ab":
        for number in range(3):
            save(folder / name / f"{number}.png", 100 * ord(name) + number, (60 + 8 * number, 40))
    dataset = opened(folder, size=16)
    assert dataset.train.images.shape == (2, 16, 16, 3)
    assert opened(folder).train.images.shape == (2, 224, 224, 3)


def test_centre_is_kept_at_its_proportions(tmp_path: Path) -> None:
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:10, 20:40] = 250  # the upper half of the central square
    for split in ("train", "val", "test"):
        for name, turned in (("a", pixels), ("b", pixels.transpose(1, 0, 2))):
            path = tmp_path / "images" / split / name / "0.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(turned).save(path)
    wide, tall = opened(tmp_path / "images", size=10).train.images[..., 0]
    assert (wide[:4] > 240).all() and (wide[6:] < 10).all()
    assert (tall == wide.T).all()


@pytest.mark.parametrize("width", [14, 20])
def test_small_images_of_one_size_are_not_resized(width: int, tmp_path: Path) -> None:
    """Oblong ones are cropped, as larger ones are: the device would stretch them."""
    folder = tmp_path / "images"
    for name in "ab":
        for number in range(3):
            save(folder / name / f"{number}.png", 100 * ord(name) + number, (width, 14))
    dataset = opened(folder, size=32)
    assert dataset.train.images.shape == (2, 14, 14, 3)
    assert dataset.decoder == "" or width != 14
    with Image.open(folder / "b" / "0.png") as image:
        left = (width - 14) // 2
        stored = np.concatenate([split.images for split in dataset[1:4]])
        square = np.asarray(image)[:, left : left + 14]
        assert (stored == square).all(axis=(1, 2, 3)).sum() == 1


def broken(folder: Path) -> None:
    make_classes(folder, "ab", 4)
    for name in ("a/0.png", "b/3.png"):
        (folder / name).write_bytes(b"no picture")


def split_folders(train: str, test: str, valid: str = "") -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for split, names in (("train", train), ("test", test), ("valid", valid)):
            make_classes(folder / split, names, 3)

    return make


def with_empty(folder: Path) -> None:
    make_classes(folder, "ab", 4)
    (folder / "c").mkdir()
    (folder / "c" / "notes.txt").write_text("nothing")


def with_empty_in_train(folder: Path) -> None:
    make_classes(folder / "train", "ab", 4)
    make_classes(folder / "test", "ab", 4, 1)
    (folder / "train" / "c").mkdir()


WRONG = {
    "one class": (lambda f: make_classes(f, "a", 9), r"has 1 classes \(a\); it takes 2 or more"),
    "none": (lambda f: f.mkdir(), "has 0 classes; it takes 2 or more"),
    "no folder": (lambda f: None, "is no folder"),
    "one in train": (split_folders("a", "a"), r"has 1 classes \(a\)"),
    "other classes": (split_folders("abc", "abd"), "'d' in test but not in train; 'c' in train b"),
    "other valid": (split_folders("ab", "ab", "ax"), "'x' in valid but not in train"),
    "no test": (split_folders("ab", ""), "has train but no test with class folders"),
    "unreadable": (broken, "2 files are not readable images: .*a/0.png .*b/3.png"),
    "empty class": (with_empty, r"class folders without images \(c\)"),
    "empty in train": (with_empty_in_train, r"class folders without images \(train/c\)"),
    "few images": (
        lambda f: make_classes(f, "ab", 2),
        "2 images of class 'a' cannot be shared out",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_error_for_a_wrong_folder_is_one_line(tmp_path: Path, case: str) -> None:
    make, message = WRONG[case]
    make(tmp_path / "images")
    with pytest.raises(UserError, match=message) as caught:
        opened(tmp_path / "images")
    assert "\n" not in str(caught.value) and str(tmp_path / "images") in str(caught.value)
