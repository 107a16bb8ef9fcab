"""One image file to pixels: orientation, transparency, and ranges beyond eight bits."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metalearn.data.decode import (
    Levels,
    Unreadable,
    cropped,
    formats,
    read_image,
    size_within,
    unchanged,
)


def pixels(path: Path, size: int, levels: Levels | None = None) -> np.ndarray:
    found = read_image(path, size, levels).pixels
    assert found.shape == (size, size, 3) and found.dtype == np.uint8
    return found


def saved(path: Path, mode: str, value: int = 255) -> Path:
    """A constant image."""
    Image.new("L", (12, 10), value).convert(mode).save(path)
    return path


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    assert (pixels(saved(tmp_path / "x.png", mode), 6) == 255).all()


def test_cmyk_keeps_its_range(tmp_path: Path) -> None:
    assert abs(int(pixels(saved(tmp_path / "x.jpg", "CMYK", 128), 6).mean()) - 128) < 3


def half_seen(mode: str) -> Image.Image:
    """Black, its left half transparent."""
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 4, 8))
    if mode != "P":
        return image.convert(mode)
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0] * 256)
    palette.paste(0, (0, 0, 4, 8))
    palette.info["transparency"] = 0
    return palette


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("x.png", "RGBA"),
        ("x.png", "LA"),
        ("x.png", "P"),
        ("x.gif", "P"),
        ("x.webp", "RGBA"),
        ("x.tif", "RGBA"),
        ("x.tif", "LA"),
    ],
)
def test_transparent_pixels_become_white(tmp_path: Path, name: str, mode: str) -> None:
    lossless = {"lossless": True, "exact": True} if name.endswith("webp") else {}
    half_seen(mode).save(tmp_path / name, **lossless)
    picture = read_image(tmp_path / name, 8)
    assert picture.transparent
    assert (picture.pixels[:, :4] == 255).all() and (picture.pixels[:, 4:] == 0).all()


def test_half_transparent_colours_are_blended_with_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 51)).save(tmp_path / "x.png")
    assert (pixels(tmp_path / "x.png", 4) == [255, 204, 204]).all()


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.pgm"])
@pytest.mark.parametrize("top", [255, 4095, 65535])
def test_sixteen_bit_images_are_scaled_to_eight(tmp_path: Path, name: str, top: int) -> None:
    values = np.linspace(0, top, 16).reshape(4, 4).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / name)
    found = read_image(tmp_path / name, 4)
    assert found.levels == Levels(0, top)
    np.testing.assert_array_equal(found.pixels[..., 0], np.rint(values * (255 / top)))


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_integer_and_float_images_are_scaled_to_eight_bits(tmp_path: Path, kind: type) -> None:
    values = np.linspace(-500, 1500, 16).reshape(4, 4).astype(kind)
    Image.fromarray(values).save(tmp_path / "x.tif")
    found = read_image(tmp_path / "x.tif", 4)
    expected = np.rint((values.astype(float) + 500) * (255 / 2000))
    np.testing.assert_array_equal(found.pixels[..., 0], expected)


def test_given_levels_replace_those_of_the_image(tmp_path: Path) -> None:
    Image.fromarray(np.full((5, 5), 32768, np.uint16)).save(tmp_path / "x.png")
    assert (pixels(tmp_path / "x.png", 6, Levels(0, 65535)) == 128).all()
    assert (pixels(tmp_path / "x.png", 6) == 0).all()  # constant: there is nothing to see


def test_nan_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((5, 5), np.nan, np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(Unreadable, match="some pixels are no numbers"):
        read_image(tmp_path / "x.tif", 6)


def top_half_white() -> Image.Image:
    image = Image.new("RGB", (8, 8))
    image.paste((255, 255, 255), (0, 0, 8, 4))
    return image


def test_exif_orientation_turns_photographs_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    top_half_white().save(tmp_path / "x.png", exif=exif)
    turned = pixels(tmp_path / "x.png", 8)
    assert turned[:, -1].min() == 255 and turned[:, 0].max() == 0


@pytest.mark.parametrize("resolution", [(-1, 0), (72, 0), (0, 0)])
def test_damaged_exif_resolution_does_not_stop_decoding(
    tmp_path: Path,
    resolution: tuple[int, int],
) -> None:
    """Nothing but the orientation is asked for."""
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack("<HHII", 0x011A, 10, 1, 38)
    block = b"II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0)
    exif = b"Exif\0\0" + block + struct.pack("<ii", *resolution)
    top_half_white().save(tmp_path / "x.jpg", exif=exif)
    turned = pixels(tmp_path / "x.jpg", 8)
    assert turned[:, -1].min() > 200 and turned[:, 0].max() < 50


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_unreadable_exif_leaves_the_image_as_it_is(tmp_path: Path) -> None:
    top_half_white().save(tmp_path / "x.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    found = pixels(tmp_path / "x.jpg", 8)
    assert found[0].min() > 200 and found[-1].max() < 50


@pytest.mark.parametrize("error", [ZeroDivisionError, struct.error, KeyError, RuntimeError])
def test_decoder_errors_become_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(*_: object) -> None:
        raise error("of a decoder")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    with pytest.raises(Unreadable, match="of a decoder"):
        read_image(saved(tmp_path / "x.png", "L"), 6)


def test_sixteen_bit_colours_are_recognised(tmp_path: Path) -> None:
    """Pillow writes none, so a PNG is put together by hand."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        sum_of = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + sum_of

    row = b"\0" + struct.pack(">6H", *range(0, 6000, 1000))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(row * 2)) + chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + data)
    assert read_image(tmp_path / "x.png", 2).halved
    assert not read_image(saved(tmp_path / "y.png", "RGB"), 2).halved


@pytest.mark.parametrize("size", [(30, 90), (90, 30), (31, 90), (30, 30), (120, 170)])
def test_cropped_keeps_the_proportions_of_the_centre(size: tuple[int, int]) -> None:
    """A round spot in the middle stays round, and of the size that the shorter side says."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    away = np.hypot(x + 0.5 - width / 2, y + 0.5 - height / 2) / min(size)
    found = np.asarray(cropped(Image.fromarray((away < 0.3).astype(np.uint8) * 255), 20))
    inside = found > 127
    assert found.shape == (20, 20)
    assert abs(inside.sum() / 400 - np.pi * 0.3**2) < 0.04
    assert abs(int(inside.any(0).sum()) - int(inside.any(1).sum())) <= 1


def test_cropped_smooths_what_it_shrinks() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    found = np.asarray(cropped(Image.fromarray(stripes), 8)).astype(int)
    assert (abs(found[:, 1:-1] - 128) < 20).all()


def test_an_image_of_the_right_size_is_not_resampled(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 14, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    picture = read_image(tmp_path / "x.png", 8, fit=cropped)
    assert (picture.pixels == pixels[:, 3:11]).all()
    assert (read_image(tmp_path / "x.png", 8, fit=unchanged).pixels == pixels).all()
    with open(tmp_path / "x.png", "rb") as file:
        assert (read_image(file, 8, fit=cropped).pixels == picture.pixels).all()


def test_size_of_the_upright_image_if_it_is_small(tmp_path: Path) -> None:
    image = Image.new("RGB", (20, 10))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    image.save(tmp_path / "plain.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert size_within(tmp_path / "turned.jpg", 20) == (20, 10)
    assert size_within(tmp_path / "plain.png", 20) == (10, 20)
    assert size_within(tmp_path / "plain.png", 19) is None
    assert size_within(tmp_path / "broken.png", 20) is None


def test_a_format_that_runs_a_program_is_not_opened_whatever_its_name(tmp_path: Path) -> None:
    """Pillow hands EPS to Ghostscript."""
    path = tmp_path / "photo.jpg"
    Image.new("RGB", (8, 8)).save(path, "EPS")
    with pytest.raises(Unreadable, match="cannot identify image file"):
        read_image(path, 8)
    assert size_within(path, 8) is None
    assert "EPS" not in formats() and {"JPEG", "PNG", "GIF"} <= set(formats())
