"""miniImageNet in its three layouts, with and without lists, on generated JPEGs."""

import csv
from pathlib import Path

import pytest
from PIL import Image

from metalearn.data import load
from metalearn.data.mini_imagenet import find_splits
from metalearn.data.splits import load_split
from metalearn.errors import UserError

SPLITS = load_split("mini_imagenet")
LAYOUTS = {
    "flat": "{wnid}0000000{i}.jpg",
    "images": "images/{wnid}0000000{i}.jpg",
    "classes": "{wnid}/{i}.JPEG",
}


def make(folder: Path, layout: str = "flat", count: int = 2) -> None:
    """`count` images of each of the 100 classes, and one of a class that does not belong."""
    source = folder.parent / "source.jpg"
    Image.new("RGB", (20, 16), (200, 30, 30)).save(source)
    data = source.read_bytes()
    wnids = [wnid for names in SPLITS.values() for wnid in names]
    for wnid, i in [(wnid, i) for wnid in wnids for i in range(count)] + [("n99999999", 0)]:
        path = folder / LAYOUTS[layout].format(wnid=wnid, i=i)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def write_lists(folder: Path, layout: str = "flat", index: int = 1) -> None:
    """Lists that choose image `index` of each class."""
    for split, name in (("train", "train.csv"), ("valid", "val.csv"), ("test", "test.csv")):
        with open(folder / name, "w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["filename", "label"])
            for wnid in SPLITS[split]:
                writer.writerow([Path(LAYOUTS[layout].format(wnid=wnid, i=index)).name, wnid])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_are_found_in_every_layout(tmp_path: Path, layout: str) -> None:
    make(tmp_path / "mini", layout)
    splits = find_splits(tmp_path / "mini")
    assert {split: list(classes) for split, classes in splits.items()} == {
        s: sorted(n) for s, n in SPLITS.items()
    }
    assert {len(files) for classes in splits.values() for files in classes.values()} == {2}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_lists_choose_the_images(tmp_path: Path, layout: str) -> None:
    make(tmp_path / "mini", layout)
    write_lists(tmp_path / "mini", layout)
    splits = find_splits(tmp_path / "mini")
    chosen = [file for classes in splits.values() for files in classes.values() for file in files]
    assert len(chosen) == 100 and all(file.stem.endswith("1") for file in chosen)


def test_mini_imagenet_loads_by_name(tmp_path: Path) -> None:
    make(tmp_path / "mini", "images", 1)
    dataset = load("mini_imagenet", tmp_path / "mini", tmp_path / "cache")
    assert [split.images.shape for split in dataset[1:4]] == [(n, 84, 84, 3) for n in (64, 16, 20)]
    assert abs(int(dataset.train.images[0, 40, 40, 0]) - 200) < 5


def test_error_names_a_broken_image(tmp_path: Path) -> None:
    make(tmp_path / "mini", "flat", 1)
    name = f"{SPLITS['valid'][3]}00000000.jpg"
    (tmp_path / "mini" / name).write_bytes(b"\xff\xd8\xff\xe0 not a whole jpeg")
    with pytest.raises(UserError, match=name):
        load("mini_imagenet", tmp_path / "mini", tmp_path / "cache")


def test_error_names_what_is_missing(tmp_path: Path) -> None:
    folder = tmp_path / "mini"
    folder.mkdir()
    with pytest.raises(UserError, match="put its images there"):
        find_splits(folder)
    make(folder)
    for i in range(2):
        (folder / LAYOUTS["flat"].format(wnid=SPLITS["test"][0], i=i)).unlink()
    with pytest.raises(UserError, match=f"no image of class {SPLITS['test'][0]}"):
        find_splits(folder)
    write_lists(folder)
    with pytest.raises(UserError, match="which is not there"):
        find_splits(folder)
    (folder / "val.csv").unlink()
    with pytest.raises(UserError, match="but no val.csv"):
        find_splits(folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("../mini/n0153282900000000.jpg,n01532829", "not there"),
        ("n0153282900000001.jpg,n01532829", "twice"),
        ("n0153282900000001.jpg,n01558993", "twice"),
        ("n9999999900000000.jpg,n99999999", "not of this split"),
        ("n0153282900000000.jpg", "not there|class"),
    ],
)
def test_error_names_a_wrong_line_of_a_list(tmp_path: Path, line: str, message: str) -> None:
    make(tmp_path / "mini")
    write_lists(tmp_path / "mini")
    with open(tmp_path / "mini" / "train.csv", "a") as stream:
        stream.write(line + "\n")
    with pytest.raises(UserError, match=message):
        find_splits(tmp_path / "mini")


def test_an_image_in_two_lists_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "mini")
    write_lists(tmp_path / "mini")
    with open(tmp_path / "mini" / "test.csv", "a") as stream:
        stream.write(f"n0153282900000001.jpg,{SPLITS['test'][0]}\n")
    with pytest.raises(UserError, match="test.csv lists 'n0153282900000001.jpg' twice"):
        find_splits(tmp_path / "mini")


def test_lists_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    make(tmp_path / "mini")
    write_lists(tmp_path / "mini")
    path = tmp_path / "mini" / "train.csv"
    path.write_text(path.read_text(), "utf-8-sig")
    assert len(find_splits(tmp_path / "mini")["train"]) == 64


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "\xff\xfe"])
def test_error_names_a_list_without_columns(tmp_path: Path, text: str) -> None:
    make(tmp_path / "mini")
    write_lists(tmp_path / "mini")
    (tmp_path / "mini" / "train.csv").write_text(text, "latin-1")
    with pytest.raises(UserError, match="train.csv"):
        find_splits(tmp_path / "mini")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_duplicate_file_names_in_a_class_are_refused(tmp_path: Path, layout: str) -> None:
    """As unpacked archives leave it: support and queries would be the same pictures."""
    folder = tmp_path / "mini"
    make(folder, layout)
    wnid = SPLITS["test"][0]
    (first,) = [path for path in folder.rglob("*") if str(path).endswith(_place(layout, wnid))]
    second = folder / "test" / wnid / first.name
    second.parent.mkdir(parents=True)
    second.write_bytes(first.read_bytes())
    with pytest.raises(UserError, match="have the same name: keep one of them") as caught:
        find_splits(folder)
    assert str(first) in str(caught.value) and str(second) in str(caught.value)


def _place(layout: str, wnid: str) -> str:
    return LAYOUTS[layout].format(wnid=wnid, i=0)


def test_warning_of_more_or_fewer_images_than_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "mini", "flat", 1)
    load("mini_imagenet", tmp_path / "mini", tmp_path / "cache", image_size=8)
    told = capsys.readouterr().err
    assert "warning: 100 of 100 classes have not 600 images, as published" in told
    monkeypatch.setattr("metalearn.data.mini_imagenet.IMAGES", 1)
    load("mini_imagenet", tmp_path / "mini", tmp_path / "other", image_size=8)
    assert "as published" not in capsys.readouterr().err
