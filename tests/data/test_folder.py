"""A folder of class folders, with and without split folders."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metalearn.data import load
from metalearn.data.folder import find_splits, read_image
from metalearn.errors import UserError


def save(path: Path, mode: str = "RGB", value: int = 100, size: tuple[int, int] = (12, 10)) -> Path:
    """A constant image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).convert(mode).save(path)
    return path


def make_classes(folder: Path, names: str, count: int = 2) -> None:
    for index, name in enumerate(names):
        for number in range(count):
            save(folder / name / f"{number}.png", value=10 * index + number)


def test_a_seed_splits_the_classes(tmp_path: Path) -> None:
    make_classes(tmp_path / "images", "abcdefghij")
    dataset = load("folder", tmp_path / "images", tmp_path / "cache", seed=3, image_size=8)
    splits = dataset[1:4]
    assert [len(split.names) for split in splits] == [6, 2, 2]
    assert sorted(name for split in splits for name in split.names) == list("abcdefghij")
    for split in splits:
        assert split.images.shape == (2 * len(split.names), 8, 8, 3) and (split.counts == 2).all()
        want = [10 * "abcdefghij".index(name) + number for name in split.names for number in (0, 1)]
        assert split.images[:, 0, 0, 0].tolist() == want
    same = load("folder", tmp_path / "images", tmp_path / "cache", seed=3, image_size=8)
    assert same.train.names == dataset.train.names
    others = {load("folder", tmp_path / "images", tmp_path / "cache", seed=s).train.names for s in range(4)}
    assert len(others) > 1


def test_a_changed_folder_is_read_again(tmp_path: Path) -> None:
    make_classes(tmp_path / "images", "abc")
    assert load("folder", tmp_path / "images", tmp_path / "cache").train.images.shape == (2, 84, 84, 3)
    for name in "abc":
        save(tmp_path / "images" / name / "more.png")
    assert load("folder", tmp_path / "images", tmp_path / "cache").train.images.shape == (3, 84, 84, 3)


@pytest.mark.parametrize("valid", ["val", "valid"])
def test_split_folders(tmp_path: Path, valid: str) -> None:
    for split, names in (("train", "abc"), (valid, "d"), ("test", "ef")):
        make_classes(tmp_path / split, names)
    splits = find_splits(tmp_path, 0)
    assert {split: "".join(classes) for split, classes in splits.items()} == {
        "train": "abc",
        "valid": "d",
        "test": "ef",
    }


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("bus", "car", "train"):
        save(tmp_path / name / "0.png")
    assert sorted(name for classes in find_splits(tmp_path, 0).values() for name in classes) == ["bus", "car", "train"]


def test_a_class_in_two_splits_is_refused(tmp_path: Path) -> None:
    for split, names in (("train", "abc"), ("val", "d"), ("test", "ea")):
        make_classes(tmp_path / split, names)
    with pytest.raises(UserError, match="class 'a' is in train and in test"):
        find_splits(tmp_path, 0)


def test_a_missing_split_folder_is_named(tmp_path: Path) -> None:
    make_classes(tmp_path / "train", "abc")
    make_classes(tmp_path / "test", "d")
    with pytest.raises(UserError, match="no valid"):
        find_splits(tmp_path, 0)


def test_hidden_and_other_files_are_passed_over(tmp_path: Path) -> None:
    make_classes(tmp_path, "abc", 1)
    for name in (".DS_Store", "notes.txt", "._0.png", "Thumbs.db", "no_ending"):
        (tmp_path / "a" / name).write_text("no image")
    save(tmp_path / ".cache" / "0.png")
    (tmp_path / "empty").mkdir()
    save(tmp_path / "a" / "deep" / "1.JPG")
    classes = {name: files for part in find_splits(tmp_path, 0).values() for name, files in part.items()}
    assert {name: len(files) for name, files in classes.items()} == {"a": 2, "b": 1, "c": 1}


@pytest.mark.parametrize("names", ["", "ab"])
def test_too_few_classes(tmp_path: Path, names: str) -> None:
    make_classes(tmp_path, names)
    with pytest.raises(UserError, match=f"{len(names)} class folders"):
        load("folder", tmp_path, tmp_path / "cache")


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--data_dir"):
        load("folder", tmp_path / "none", tmp_path / "cache")


@pytest.mark.parametrize("broken", [b"", b"not an image", None])
def test_one_broken_image_is_named(tmp_path: Path, broken: bytes | None) -> None:
    make_classes(tmp_path / "images", "abc", 3)
    path = save(tmp_path / "images" / "b" / "1.jpg", size=(64, 64))
    path.write_bytes(path.read_bytes()[:300] if broken is None else broken)
    with pytest.raises(UserError, match="b/1.jpg is not a readable image") as caught:
        load("folder", tmp_path / "images", tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_a_broken_link_is_named(tmp_path: Path) -> None:
    make_classes(tmp_path, "abc")
    os.symlink(tmp_path / "gone.png", tmp_path / "a" / "link.png")
    with pytest.raises(UserError, match="link.png cannot be read"):
        load("folder", tmp_path, tmp_path / "cache")


def test_a_link_in_a_circle_is_named(tmp_path: Path) -> None:
    make_classes(tmp_path, "abc")
    os.symlink(tmp_path, tmp_path / "a" / "around")
    with pytest.raises(UserError, match="nested too deeply"):
        load("folder", tmp_path, tmp_path / "cache")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    image = read_image(save(tmp_path / "x.png", mode, 255), 6)
    assert image.shape == (6, 6, 3) and image.dtype == np.uint8 and (image == 255).all()


def test_cmyk_and_16_bits_keep_their_range(tmp_path: Path) -> None:
    cmyk = read_image(save(tmp_path / "x.jpg", "CMYK", 128), 6)
    assert abs(int(cmyk.mean()) - 128) < 3
    Image.fromarray(np.full((5, 5), 32768, np.uint16)).save(tmp_path / "x.png")
    assert (read_image(tmp_path / "x.png", 6) == 128).all()


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8))
    image.paste((255, 255, 255), (0, 0, 8, 4))  # top half white
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.save(tmp_path / "x.png", exif=exif)
    turned = read_image(tmp_path / "x.png", 8)
    assert turned[:, -1].min() == 255 and turned[:, 0].max() == 0
