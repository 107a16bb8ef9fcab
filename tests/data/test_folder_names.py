"""What of a folder of images decides a dataset: names, endings, seeds; and what is passed over."""

import os
import unicodedata
from pathlib import Path

import pytest

from metalearn.data import find_reader, load
from metalearn.data.folder import ENDINGS, find_classes, find_splits
from metalearn.errors import UserError
from tests.data.test_folder import make_classes, save

Capture = pytest.CaptureFixture[str]


def test_folders_that_the_system_made_on_a_disk_are_passed_over(tmp_path: Path) -> None:
    make_classes(tmp_path, "abcdef")
    for name in ("lost+found", "@eaDir", "#recycle"):
        save(tmp_path / name / "0.png")
    splits = find_splits(tmp_path, 0)
    assert sorted(name for classes in splits.values() for name in classes) == list("abcdef")


def test_note_on_files_that_are_passed_over(tmp_path: Path, capsys: Capture) -> None:
    make_classes(tmp_path / "images", "abc", 1)
    for name in ("x.heic", "y.HEIC", "z.npy", "notes.txt"):
        (tmp_path / "images" / "a" / name).write_bytes(b"anything")
    load("folder", tmp_path / "images", tmp_path / "cache", image_size=8)
    told = "note: passed over files that are not read as images: 2 .heic, 1 .npy (pillow-heif reads HEIC"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["jfif", "jpe", "avif", "tga", "jp2"])
def test_uncommon_image_formats_are_read(tmp_path: Path, ending: str) -> None:
    if f".{ending}" not in ENDINGS:
        pytest.skip(f"this Pillow reads no .{ending}")
    for index, name in enumerate("abc"):
        save(tmp_path / "images" / name / f"0.{ending}", value=50 * index)
    dataset = load("folder", tmp_path / "images", tmp_path / "cache", image_size=8)
    assert sum(len(split.images) for split in dataset[1:4]) == 3


def test_names_of_classes_are_composed_and_printable(tmp_path: Path) -> None:
    for number, name in enumerate((unicodedata.normalize("NFD", "caf\u00e9"), "b\nc")):
        save(tmp_path / name / "0.png", value=number)
    assert sorted(find_classes(tmp_path)) == ["b\\nc", "caf\u00e9"]


def test_a_class_written_in_two_ways_is_one(tmp_path: Path) -> None:
    for split, form in (("train", "NFC"), ("val", ""), ("test", "NFD")):
        save(tmp_path / split / (unicodedata.normalize(form, "\u00e9") if form else "x") / "0.png")
    with pytest.raises(UserError, match="class '\u00e9' is in train and in test"):
        find_splits(tmp_path, 0)
    save(tmp_path / "train" / unicodedata.normalize("NFD", "\u00e9") / "0.png")
    with pytest.raises(
        UserError, match="train has two folders named '\u00e9', which differ in spaces"
    ):
        find_splits(tmp_path, 0)


def test_names_that_are_not_utf_8_can_be_written(tmp_path: Path) -> None:
    try:
        save(tmp_path / os.fsdecode(b"caf\xe9") / "0.png")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    assert [name.encode() for name in find_classes(tmp_path)] == [b"caf\\udce9"]


@pytest.mark.parametrize("name", ["folder", "labelled"])
def test_what_is_passed_over_is_told_anew(name: str, tmp_path: Path) -> None:
    make_classes(tmp_path / "one", "abc")
    reader = find_reader(name)
    found = [reader.fingerprint(tmp_path / "one")]
    (tmp_path / "one" / "a" / "0.heic").touch()
    found.append(reader.fingerprint(tmp_path / "one"))
    (tmp_path / "one" / "d").mkdir()
    found.append(reader.fingerprint(tmp_path / "one"))
    (tmp_path / "one").rename(tmp_path / "other")
    found.append(reader.fingerprint(tmp_path / "other"))
    assert len(set(found)) == 4 and found[3] == reader.fingerprint(tmp_path / "other")


@pytest.mark.parametrize(("name", "splits"), [("folder", "ab cd ef"), ("labelled", "ab ab ab")])
def test_a_seed_that_decides_nothing_is_no_part_of_the_cache(
    name: str, splits: str, tmp_path: Path
) -> None:
    make_classes(tmp_path / "drawn", "abcdef")
    for split, names in zip(("train", "valid", "test"), splits.split(), strict=True):
        make_classes(tmp_path / "own" / split, names)
    for folder, differ in (("drawn", True), ("own", False)):
        one, other = (find_reader(name, seed).fingerprint(tmp_path / folder) for seed in (0, 1))
        assert (one != other) == differ
