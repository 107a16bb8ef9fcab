"""Photographs from wherever they are, and what is said of those that cannot be read."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metalearn.errors import UserError
from metalearn.personal.reading import NAMED, readable_ones, snapshots_of
from tests.personal.made import picture


def test_files_and_photos_in_memory_come_in_their_order(tmp_path: Path) -> None:
    pictures = [picture(label, 0) for label in range(4)]
    paths = [tmp_path / f"{label}.png" for label in range(4)]
    for path, pixels in zip(paths, pictures, strict=True):
        Image.fromarray(pixels).save(path)
    mixed = [paths[2], pictures[0], str(paths[3]), Image.fromarray(pictures[1])]
    found = snapshots_of(mixed, 16)
    assert [one.name for one in found] == ["2.png", "photo 2", "3.png", "photo 4"]
    for one, label in zip(found, (2, 0, 3, 1), strict=True):
        np.testing.assert_array_equal(one.pixels, pictures[label])


@pytest.mark.parametrize("photo", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros(0)])
def test_an_array_of_another_kind_is_named_by_its_place(photo: np.ndarray) -> None:
    with pytest.raises(UserError, match="^photo 2: an image has to be an array of uint8[^\n]*$"):
        snapshots_of([picture(0, 0), photo], 16)


def test_an_image_in_memory_that_does_not_decode_is_a_users_error(tmp_path: Path) -> None:
    Image.fromarray(picture(0, 0)).save(tmp_path / "it.png")
    whole = (tmp_path / "it.png").read_bytes()
    (tmp_path / "it.png").write_bytes(whole[: len(whole) // 2])
    with Image.open(tmp_path / "it.png") as cut:
        with pytest.raises(UserError, match="^photo 1: [^\n]*$"):
            snapshots_of([cut], 16)


def test_one_file_alone_is_no_list_of_photos() -> None:
    """A word is a sequence of letters, each of which would be looked for as a file."""
    with pytest.raises(UserError, match="mine.jpg is one photo: give a list"):
        snapshots_of("mine.jpg", 16)


def test_of_many_files_that_cannot_be_read_the_first_few_are_named(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(NAMED + 2)]
    for path in paths:
        path.write_text("a text")
    with pytest.raises(UserError) as caught:
        readable_ones(paths, 16)
    said = str(caught.value)
    assert said.startswith(f"{NAMED + 2} of the photos cannot be read: ") and "\n" not in said
    assert f"{NAMED - 1}.png" in said and f"{NAMED}.png" not in said and "and 2 more" in said
