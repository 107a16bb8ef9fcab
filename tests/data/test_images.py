"""All files of a folder together: what is told of them, and what decoded them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metalearn.data import load
from metalearn.data.images import DECODER, decoder_of

Capture = pytest.CaptureFixture[str]


def save(path: Path, value: int, size: tuple[int, int] = (12, 10)) -> Path:
    """A constant image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)
    return path


def write(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def test_transparent_images_are_laid_on_white_with_a_note(tmp_path: Path, capsys: Capture) -> None:
    for index, name in enumerate("abc"):
        icon = np.zeros((8, 8, 4), np.uint8)
        icon[index, :, 3] = 255  # black on nothing
        write(tmp_path / "images" / name / "0.png", icon)
    for _ in range(2):  # read, and from the cache
        dataset = load("folder", tmp_path / "images", tmp_path / "cache", image_size=8)
        line = "note: 3 of 3 images are transparent in places and were laid on white, such as "
        assert capsys.readouterr().err.count(line) == 1
    for split in dataset[1:4]:
        dark = (split.images[0, :, :, 0] == 0).all(1)
        assert dark.sum() == 1 and (split.images[0][~dark] == 255).all()


def test_deep_images_are_scaled_by_their_common_range(tmp_path: Path, capsys: Capture) -> None:
    """Twelve bits in sixteen: the upper eight alone would leave 16 levels."""
    for index, ending in enumerate(("png", "tif", "pgm")):
        values = np.linspace(2000 * index, 2000 * index + 95, 64).reshape(8, 8).astype(np.uint16)
        write(tmp_path / "images" / "abc"[index] / f"0.{ending}", values)
    dataset = load("folder", tmp_path / "images", tmp_path / "cache", image_size=8)
    told = "3 of 3 images have more than 8 bits: their values from 0 to 4095"
    assert told in capsys.readouterr().err
    by_class = {split.names[0]: split.images[0, :, :, 0] for split in dataset[1:4]}
    for index, name in enumerate("abc"):
        values = np.linspace(2000 * index, 2000 * index + 95, 64).astype(np.uint16)
        np.testing.assert_array_equal(by_class[name].reshape(-1), np.rint(values * (255 / 4095)))


def test_notes_on_duplicate_images(tmp_path: Path, capsys: Capture) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (5, 8, 8, 3), np.uint8)
    images = tmp_path / "images"
    for index, split in enumerate(("train", "valid", "test")):
        write(images / split / "abc"[index] / "0.png", noise[index])
    write(images / "train" / "a" / "again.png", noise[0])
    write(images / "train" / "d" / "other.bmp", noise[0])
    write(images / "test" / "c" / "seen.png", noise[1])
    load("folder", images, tmp_path / "cache", image_size=8)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "note: 1 image occurs more than once in a class, such as train/a/0.png and "
        "train/a/again.png: one may be shown as support and asked as query",
        "warning: 1 image occurs in several classes, such as train/a/0.png and train/d/other.bmp",
        "warning: 1 image occurs in several splits, such as valid/b/0.png and test/c/seen.png: "
        "accuracy on images already seen says little",
    ]


def test_decoder_of_prepared_images_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another Pillow gives other pixels; those that were prepared stay, and say whose they are."""
    for index, name in enumerate("abc"):
        save(tmp_path / "images" / name / "0.jpg", 50 * index)
    monkeypatch.setattr("metalearn.data.images.DECODER", "pillow 1.0")
    first = load("folder", tmp_path / "images", tmp_path / "cache")
    monkeypatch.setattr("metalearn.data.images.DECODER", "pillow 2.0")
    second = load("folder", tmp_path / "images", tmp_path / "cache")
    assert (first.decoder, second.decoder) == ("pillow 1.0", "pillow 1.0")
    assert first.digest == second.digest


def test_lossless_images_of_the_right_size_have_no_decoder(tmp_path: Path) -> None:
    for name in "abc":
        save(tmp_path / "images" / name / "0.png", 50)
    assert load("folder", tmp_path / "images", tmp_path / "cache", image_size=9).decoder
    for name in "abc":
        save(tmp_path / "images" / name / "0.png", 50, (9, 9))
    assert load("folder", tmp_path / "images", tmp_path / "cache", image_size=9).decoder == ""


def test_decoder_of_heic_is_named_where_one_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"{name} 1.2")
    assert decoder_of(["a/0.jpg", "heic.png"]) == DECODER
    assert decoder_of(["a/0.jpg", "a/1.HEIC"]) == f"{DECODER}, pillow-heif pillow-heif 1.2"
