"""The Grocery Store Dataset: both archives' layouts, its published split, its iconic pictures."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metalearn.data import grocery, load
from metalearn.errors import UserError

COUNTS = {"train": 6, "valid": 2, "test": 4, "iconic": 2}
NAMES = ("Apple", "Milk")


def jpeg(seed: int, size: tuple[int, int] = (40, 30)) -> bytes:
    """A plain picture in one of 256 colours."""
    file = io.BytesIO()
    Image.new("RGB", size, (seed, 255 - seed, 7)).save(file, "JPEG")
    return file.getvalue()


def make_members(deep: bool = False) -> dict[str, bytes]:
    """Photographs of two classes, of which validation has one, by either layout."""
    members = {}
    seed = 0
    for part, count in (("train", 3), ("val", 2), ("test", 2), ("iconic", 1)):
        for name in NAMES[: 1 if part == "val" else 2]:
            for number in range(count):
                file = "iconic.jpg" if part == "iconic" else f"{name}_{number:03d}.jpg"
                folder = f"{part}/{name}"
                if deep:
                    whole = "iconic-images-and-descriptions" if part == "iconic" else part
                    folder = f"GroceryStoreDataset-master/dataset/{whole}/Fruit/{name}"
                    file = file.replace("iconic", f"{name}_Iconic")
                seed += 15
                members[f"{folder}/{file}"] = jpeg(seed)
    if deep:
        members["GroceryStoreDataset-master/dataset/classes.csv"] = b"Class Name\n"
        members["GroceryStoreDataset-master/sample_images/iconic.jpg"] = jpeg(1)
    return members


def write(folder: Path, members: dict[str, bytes], name: str = grocery.ARCHIVES[0]) -> Path:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return folder


def test_published_split_and_classes_without_validation(tmp_path: Path) -> None:
    splits = grocery.read(write(tmp_path, make_members()), 20, counts=COUNTS)
    assert splits.shared and not splits.by_seed and splits.decoder.startswith("pillow")
    assert [split.counts.tolist() for split in splits.values()] == [[3, 3], [2, 0], [2, 2]]
    for split in splits.values():
        assert split.names == NAMES and split.images.shape[1:] == (20, 20, 3)
    red = splits["train"].images[:, 5, 5, 0].astype(int)
    assert np.abs(red - [15, 30, 45, 60, 75, 90]).max() < 6
    assert "note: there are no validation images of 1 of 2 classes, such as Milk" in splits.notes


def test_iconic_pictures_are_one_a_class_and_photographs_the_test(tmp_path: Path) -> None:
    write(tmp_path, make_members())
    photographs = grocery.read(tmp_path, 20, counts=COUNTS)
    splits = grocery.read(tmp_path, 20, "iconic", COUNTS)
    assert splits["train"].counts.tolist() == [1, 1] and splits.shared
    assert (splits["test"].images == photographs["test"].images).all()
    assert (splits["valid"].images == photographs["valid"].images).all()


@pytest.mark.parametrize("train", ["train", "iconic"])
def test_both_layouts_give_the_same(tmp_path: Path, train: str) -> None:
    one = grocery.read(write(tmp_path / "a", make_members()), 20, train, COUNTS)
    deep = write(tmp_path / "b", make_members(deep=True), grocery.ARCHIVES[1])
    other = grocery.read(deep, 20, train, COUNTS)
    assert all((one[name].images == other[name].images).all() for name in one)


def truncate(folder: Path) -> None:
    path = write(folder, make_members()) / grocery.ARCHIVES[0]
    path.write_bytes(path.read_bytes()[:-500])


def lose_a_photograph(folder: Path) -> None:
    members = make_members()
    del members["test/Milk/Milk_001.jpg"]
    write(folder, members)


def spoil_photographs(folder: Path) -> None:
    spoilt = {"test/Milk/Milk_001.jpg": b"x", "train/Apple/Apple_000.jpg": jpeg(0)[:200]}
    write(folder, make_members() | spoilt)


def rename_a_class(folder: Path) -> None:
    members = make_members()
    write(folder, {name.replace("test/Milk", "test/Cream"): data for name, data in members.items()})


WRONG = {
    "absent": (lambda folder: folder.mkdir(), "neither grocery-store-224.zip nor .* get https://"),
    "truncated": (truncate, "grocery-store-224.zip is damaged"),
    "a photograph missing": (lose_a_photograph, "3 of 4 in test"),
    "unreadable": (spoil_photographs, "2 files are not readable .*Apple_000.* .*Milk_001"),
    "other classes": (rename_a_class, "'Cream' in test but not in train"),
}


@pytest.mark.parametrize("case", WRONG)
def test_error_for_a_wrong_archive_is_one_line(tmp_path: Path, case: str) -> None:
    make, message = WRONG[case]
    make(tmp_path / "data")
    with pytest.raises(UserError, match=message) as caught:
        grocery.read(tmp_path / "data", 20, counts=COUNTS)
    assert "\n" not in str(caught.value) and str(tmp_path / "data") in str(caught.value)


def test_real_photographs(data_dir: Path, cache_dir: Path) -> None:
    if not any((data_dir / name).is_file() for name in grocery.ARCHIVES):
        pytest.skip(f"no {' nor '.join(grocery.ARCHIVES)} in {data_dir}")
    dataset = load("grocery", data_dir, cache_dir, image_size=32)
    assert dataset.shared and [len(split.images) for split in dataset[1:4]] == [2640, 296, 2485]
    assert len(dataset.train.names) == 81 and (dataset.valid.counts > 0).sum() == 60
    assert {"Granny-Smith", "Oatly-Natural-Oatghurt", "Zucchini"} <= set(dataset.test.names)
    iconic = grocery.read_archive(grocery.archive_in(data_dir))["iconic"]
    assert sorted(iconic) == list(dataset.train.names)
    assert [len(pictures) for pictures in iconic.values()] == [1] * 81
