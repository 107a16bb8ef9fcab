"""A folder of class folders, with and without split folders."""

import os
import socket
from pathlib import Path

import pytest
from PIL import Image

from metalearn.data import load
from metalearn.data.folder import find_splits
from metalearn.errors import UserError

Capture = pytest.CaptureFixture[str]


def save(path: Path, mode: str = "RGB", value: int = 100, size: tuple[int, int] = (12, 10)) -> Path:
    """A constant image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).convert(mode).save(path)
    return path


def make_classes(folder: Path, names: str, count: int = 2) -> None:
    for index, name in enumerate(names):
        for number in range(count):
            save(folder / name / f"{number}.png", value=10 * index + number)


def test_seed_splits_the_classes(tmp_path: Path) -> None:
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
    others = {
        load("folder", tmp_path / "images", tmp_path / "cache", seed=s).train.names
        for s in range(4)
    }
    assert len(others) > 1


def test_changed_folder_is_prepared_again(tmp_path: Path) -> None:
    make_classes(tmp_path / "images", "abc")
    assert load("folder", tmp_path / "images", tmp_path / "cache").train.images.shape == (
        2,
        84,
        84,
        3,
    )
    for name in "abc":
        save(tmp_path / "images" / name / "more.png")
    assert load("folder", tmp_path / "images", tmp_path / "cache").train.images.shape == (
        3,
        84,
        84,
        3,
    )


@pytest.mark.parametrize(
    ("train", "valid", "test"),
    [
        ("train", "val", "test"),
        ("train", "valid", "test"),
        ("Train", "Valid", "Test"),
        ("training", "validation", "testing"),
        ("TRAIN", "VAL", "TEST"),
    ],
)
def test_split_folders_by_any_of_their_names(
    tmp_path: Path, train: str, valid: str, test: str
) -> None:
    for split, names in ((train, "abc"), (valid, "d"), (test, "ef")):
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
    assert sorted(name for classes in find_splits(tmp_path, 0).values() for name in classes) == [
        "bus",
        "car",
        "train",
    ]


def test_a_class_in_two_splits_is_refused(tmp_path: Path) -> None:
    for split, names in (("train", "abc"), ("val", "d"), ("test", "ea")):
        make_classes(tmp_path / split, names)
    with pytest.raises(UserError, match="class 'a' is in train and in test"):
        find_splits(tmp_path, 0)


def test_folders_of_one_split_are_merged(tmp_path: Path) -> None:
    for split, names in (("train", "abc"), ("val", "de"), ("validation", "ef"), ("test", "g")):
        make_classes(tmp_path / split, names)
    counts = {name: len(files) for name, files in find_splits(tmp_path, 0)["valid"].items()}
    assert counts == {"d": 2, "e": 4, "f": 2}


@pytest.mark.parametrize("classes", [6, 7, 9])
def test_few_classes_are_split_so_that_an_episode_fits(tmp_path: Path, classes: int) -> None:
    make_classes(tmp_path / "images", "abcdefghi"[:classes])
    dataset = load("folder", tmp_path / "images", tmp_path / "cache", image_size=8)
    assert [len(split.counts) for split in dataset[1:4]] == [classes - 4, 2, 2] and dataset.by_seed


def test_split_folders_are_not_split_by_seed(tmp_path: Path) -> None:
    for split, names in (("train", "abc"), ("val", "d"), ("test", "e")):
        make_classes(tmp_path / "images" / split, names)
    assert not load("folder", tmp_path / "images", tmp_path / "cache", image_size=8).by_seed


def test_error_names_a_missing_split_folder(tmp_path: Path) -> None:
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
    classes = {
        name: files for part in find_splits(tmp_path, 0).values() for name, files in part.items()
    }
    assert {name: len(files) for name, files in classes.items()} == {"a": 2, "b": 1, "c": 1}


@pytest.mark.parametrize("names", ["", "ab"])
def test_too_few_classes_are_refused(tmp_path: Path, names: str) -> None:
    make_classes(tmp_path, names)
    with pytest.raises(UserError, match=f"{len(names)} class folders"):
        load("folder", tmp_path, tmp_path / "cache")


def test_error_names_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--data_dir"):
        load("folder", tmp_path / "none", tmp_path / "cache")


@pytest.mark.parametrize("broken", [b"", b"not an image", None])
def test_error_names_one_broken_image(tmp_path: Path, broken: bytes | None) -> None:
    make_classes(tmp_path / "images", "abc", 3)
    path = save(tmp_path / "images" / "b" / "1.jpg", size=(64, 64))
    path.write_bytes(path.read_bytes()[:300] if broken is None else broken)
    with pytest.raises(UserError, match="b/1.jpg is not a readable image") as caught:
        load("folder", tmp_path / "images", tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_error_counts_all_broken_images(tmp_path: Path) -> None:
    make_classes(tmp_path / "images", "abc", 3)
    for name in "abc":
        for number in range(3):
            (tmp_path / "images" / name / f"{number}.png").write_bytes(b"no image")
    with pytest.raises(UserError) as caught:
        load("folder", tmp_path / "images", tmp_path / "cache")
    said = str(caught.value)
    assert said.startswith("9 files are not readable images: ") and "; and 4 more: replace" in said
    assert said.count(".png (") == 5 and "\n" not in said


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_pipes_and_sockets_are_refused(tmp_path: Path, kind: str) -> None:
    """Opening a pipe would wait for ever."""
    make_classes(tmp_path, "abc")
    path = tmp_path / "a" / "x.png"
    with socket.socket(socket.AF_UNIX) as server:
        if kind == "pipe":
            os.mkfifo(path)
        else:
            server.bind(str(path))
        with pytest.raises(UserError, match="a/x.png is no file but a pipe, a socket or a device"):
            load("folder", tmp_path, tmp_path / "cache")


def test_error_names_a_broken_link(tmp_path: Path) -> None:
    make_classes(tmp_path, "abc")
    os.symlink(tmp_path / "gone.png", tmp_path / "a" / "link.png")
    with pytest.raises(UserError, match="link.png cannot be read"):
        load("folder", tmp_path, tmp_path / "cache")


def test_error_names_a_circular_link(tmp_path: Path) -> None:
    make_classes(tmp_path, "abc")
    os.symlink(tmp_path, tmp_path / "a" / "around")
    with pytest.raises(UserError, match="nested too deeply"):
        load("folder", tmp_path, tmp_path / "cache")


def test_many_circular_links_are_found_at_once(tmp_path: Path) -> None:
    """By what they lead to, not by how long a path gets."""
    make_classes(tmp_path, "abc")
    for name in "abc":
        for number in range(8):
            os.symlink("..", tmp_path / name / f"up{number}")
    with pytest.raises(UserError, match="nested too deeply: it links to a folder around it"):
        find_splits(tmp_path, 0)
