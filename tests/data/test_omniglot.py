"""Omniglot's archives: read right, and refused with one line when they are not right."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metalearn.data import load, omniglot
from metalearn.data.splits import load_split
from metalearn.errors import UserError

FACTS = omniglot.Facts(characters=2, ink=None, drawers=3)
NAME = omniglot.FILES[0].name
Members = dict[str, bytes]


def png(size: int = 105, column: int = 50) -> bytes:
    """A black vertical stroke, 9 wide, on white, as a bilevel PNG."""
    pixels = np.full((size, size), 255, np.uint8)
    pixels[:, column : column + 9] = 0
    stream = io.BytesIO()
    Image.fromarray(pixels).convert("1").save(stream, "png")
    return stream.getvalue()


def make_members() -> Members:
    """Two characters by three drawers."""
    places = [(number, drawer) for number in (2, 11) for drawer in (3, 1, 2)]
    return {
        f"images/Greek/character{n:02d}/0{n:03d}_{d:02d}.png": png(column=10 * d) for n, d in places
    }


def write(folder: Path, members: Members) -> Path:
    path = folder / NAME
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_omniglot_ink_is_high_and_drawings_are_in_order(tmp_path: Path) -> None:
    characters = omniglot.read_characters(write(tmp_path, make_members()), FACTS)
    assert sorted(characters) == [("Greek", 2), ("Greek", 11)]
    for images in characters.values():
        assert images.shape == (3, 28, 28, 1) and images.dtype == np.uint8
        assert images.max() == 255 and np.median(images) == 0
        columns = images[:, 14, :, 0].argmax(axis=1)
        assert (np.diff(columns) > 0).all()  # drawers 1, 2, 3


def test_omniglot_share_of_ink_is_verified(tmp_path: Path) -> None:
    path = write(tmp_path, make_members())
    omniglot.read_characters(path, FACTS._replace(ink=9 / 105))
    with pytest.raises(UserError, match="is ink, not 0.0779"):
        omniglot.read_characters(path, FACTS._replace(ink=0.0779))


def test_omniglot_split_has_each_character_once() -> None:
    splits = load_split("omniglot")
    sizes = {split: sum(map(len, alphabets.values())) for split, alphabets in splits.items()}
    assert sizes == {"train": 1028, "valid": 172, "test": 423}
    characters = [
        (a, n) for alphabets in splits.values() for a, numbers in alphabets.items() for n in numbers
    ]
    assert len(set(characters)) == 1623


def corrupt(folder: Path) -> None:
    """Flips a bit in the compressed bytes of the first drawing."""
    path = write(folder, make_members())
    data = bytearray(path.read_bytes())
    data[100] ^= 4
    path.write_bytes(data)


def truncate(folder: Path) -> None:
    path = write(folder, make_members())
    path.write_bytes(path.read_bytes()[:-30])


def add(name: str, data: bytes) -> Callable[[Path], Path]:
    """Writes an archive with one more member, or with one replaced."""
    return lambda folder: write(folder, make_members() | {name: data})


FIRST = "images/Greek/character02/0002_01.png"
SPOILT = {
    "truncated": (truncate, "zip"),
    "bit flip": (corrupt, "damaged"),
    "dot dot": (add("../evil.png", png()), "outside"),
    "backslash": (add("..\\evil.png", png()), "outside"),
    "absolute": (add("/evil.png", png()), "outside"),
    "no image": (add(FIRST, b"not a png"), "0002_01.png does not decode"),
    "cut image": (add(FIRST, png()[:60]), "0002_01.png does not decode"),
    "size": (add(FIRST, png(64)), "64x64"),
    "layout": (add("Greek/0002_01.png", png()), "unexpected member"),
    "one more drawing": (
        add("images/Greek/character02/0002_04.png", png()),
        "7 drawings of 2 characters",
    ),
    "one more character": (
        add("images/Greek/character03/0003_01.png", png()),
        "7 drawings of 3 characters",
    ),
    "no drawings": (lambda folder: write(folder, {}), "0 drawings"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_error_for_a_damaged_omniglot_archive_is_one_line(tmp_path: Path, case: str) -> None:
    spoil, message = SPOILT[case]
    spoil(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        omniglot.read_characters(tmp_path / NAME, FACTS)
    assert "\n" not in str(caught.value) and str(tmp_path / NAME) in str(caught.value)
    assert list(tmp_path.parent.glob("evil*")) == []


def test_real_omniglot_archives(data_dir: Path, cache_dir: Path) -> None:
    dataset = load("omniglot", data_dir, cache_dir)
    assert [split.images.shape for split in dataset[1:4]] == [
        (n * 20, 28, 28, 1) for n in (1028, 172, 423)
    ]
    assert dataset.rotations == 4 and dataset.train.images.max() == 255
    assert dataset.train.names[0] == "Alphabet_of_the_Magi/character01"
    assert 0.07 < dataset.mean[0] < 0.09
