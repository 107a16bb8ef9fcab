"""Files of every kind that a person's folder may hold: their photograph, or why there is none."""

import io
import os
import socket
import struct
import sys
import zlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, ImageFile, features

from metalearn.data import decode, photo_file
from metalearn.data.decode import Unreadable, cropped, picture_of, read_image
from metalearn.data.photo_file import contents, decoded, in_memory
from metalearn.errors import UserError

RED = (200, 40, 40)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(data: bytes, size: int = 16) -> np.ndarray:
    found = decoded(data, size).picture.pixels
    assert found.shape == (size, size, 3) and found.dtype == np.uint8
    return found.astype(int)


def why(data: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        decoded(data, 16)
    said = str(caught.value)
    assert "\n" not in said and "0x" not in said
    return said


def photograph(width: int = 1600, height: int = 1200, seed: int = 0) -> Image.Image:
    """Patches of several sizes, and noise."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3))
    for cells in (4, 16, 64):
        patches = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
        image += np.asarray(patches.resize((width, height), Image.Resampling.BICUBIC)) / 3
    return Image.fromarray(np.clip(image + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    """A PNG put together by hand."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + data


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [64, 100, 224])
def test_a_jpeg_at_a_reduced_scale_looks_as_if_decoded_whole(
    size: int, progressive: bool, subsampling: int
) -> None:
    data = encoded(
        photograph(), "JPEG", quality=90, progressive=progressive, subsampling=subsampling
    )
    whole = read_image(io.BytesIO(data), size, fit=cropped).pixels.astype(int)
    away = np.abs(pixels(data, size) - whole)
    assert away.mean() < 1 and away.max() <= 8


def test_a_jpeg_is_decoded_at_twice_the_size_wanted_or_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def watch(image: Image.Image, *args: object, **options: object) -> object:
        seen.append(image.size)
        return picture_of(image, *args, **options)

    monkeypatch.setattr(photo_file, "picture_of", watch)
    data = encoded(photograph(), "JPEG")
    found = [decoded(data, size) for size in (224, 300, 301, 16, 1000)]
    assert seen == [(800, 600), (800, 600), (1600, 1200), (200, 150), (1600, 1200)]
    assert {(one.width, one.height) for one in found} == {(1600, 1200)}


def test_a_small_jpeg_is_decoded_as_by_others() -> None:
    data = encoded(photograph(300, 224), "JPEG")
    assert (pixels(data, 224) == read_image(io.BytesIO(data), 224, fit=cropped).pixels).all()


@pytest.mark.parametrize("scale", [1, 100])
def test_photographs_are_upright_at_every_scale(scale: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image = Image.new("RGB", (16 * scale, 16 * scale))
    image.paste((255, 255, 255), (0, 0, 16 * scale, 8 * scale))
    found = pixels(encoded(image, "JPEG", exif=exif))
    assert found[:, 10:].min() > 200 and found[:, :6].max() < 50


@pytest.mark.parametrize("side", [24, 400])
def test_cmyk_of_adobe_keeps_its_colours(side: int) -> None:
    """Adobe's programs, and so Pillow, store its values inverted."""
    data = encoded(Image.new("RGB", (side, side), RED).convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in data
    assert np.abs(pixels(data) - RED).max() < 6


def test_palette_alpha_and_sixteen_bits() -> None:
    palette = Image.new("RGB", (20, 20), RED).quantize(4)
    assert np.abs(pixels(encoded(palette, "PNG")) - RED).max() < 3
    assert (pixels(encoded(Image.new("RGBA", (20, 20), (0, 0, 0, 0)), "PNG")) == 255).all()
    ramp = np.tile(np.linspace(0, 60000, 16).astype(np.uint16), (16, 1))
    grey = pixels(encoded(Image.fromarray(ramp), "PNG"))
    assert np.abs(grey[0, :, 0] - np.linspace(0, 255, 16)).max() <= 1
    row = b"\0" + struct.pack(">3H", 51400, 10280, 10280) * 16
    assert np.abs(pixels(png(16, 16, 16, 2, row * 16)) - RED).max() <= 1


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_picture_of_several_is_read(kind: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in (RED, (0, 0, 255), (0, 255, 0))]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(data)).n_frames == 3
    assert np.abs(pixels(data) - RED).max() < 8


def test_a_jpeg_that_holds_a_second_picture_is_read_at_a_reduced_scale() -> None:
    """Telephones store depth or a preview after the photograph (MPO)."""
    second = Image.new("RGB", (80, 60), (0, 0, 255))
    data = encoded(photograph(), "MPO", save_all=True, append_images=[second])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    found = decoded(data, 32)
    assert (found.width, found.height) == (1600, 1200)
    whole = read_image(io.BytesIO(data), 32, fit=cropped).pixels.astype(int)
    assert np.abs(found.picture.pixels - whole).max() <= 8


def test_larger_jpegs_are_read_than_pillow_decodes_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    data = encoded(photograph(), "JPEG")
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))
    assert pixels(data).std() > 10


def test_a_panorama_of_a_hundred_megapixels_is_read() -> None:
    panorama = encoded(Image.new("L", (20000, 5000), 90), "JPEG")
    found = decoded(panorama, 224)
    assert (found.width, found.height) == (20000, 5000)
    assert (found.picture.pixels == 90).all()


def test_a_png_that_claims_too_many_pixels_is_refused_undecoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: object) -> None:
        raise AssertionError("the pixels are decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    data = png(50_000, 50_000, 8, 2, b"\0" * 1000)
    assert why(data) == "50000 x 50000 pixels, at most 89 million are read: make it smaller"


@pytest.mark.parametrize(("progressive", "most"), [(False, 250), (True, 89)])
def test_a_jpeg_that_claims_too_many_pixels_is_refused(progressive: bool, most: int) -> None:
    """A progressive one cannot be decoded row by row."""
    data = bytearray(encoded(photograph(64, 48), "JPEG", progressive=progressive))
    start = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", 60_000, 50_000)
    said = f"50000 x 60000 pixels, at most {most} million are read: make it smaller"
    assert why(bytes(data)) == said


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("share", [0.4, 0.7])
def test_truncated_files_are_refused(kind: str, share: float) -> None:
    data = encoded(photograph(160, 120), kind)
    assert why(data[: int(share * len(data))]).startswith("truncated")


def test_a_webp_that_ends_too_early_is_refused() -> None:
    data = encoded(photograph(160, 120), "WEBP")
    assert why(data[: len(data) // 2]).startswith("damaged (")


def test_damage_within_is_refused() -> None:
    rows = (b"\0" + b"\7" * 60) * 20
    data = png(20, 20, 8, 2, rows)
    at = data.index(b"IDAT") + 6
    assert "damaged" in why(data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty file"),
        (b"just words " * 99, "no image file Pillow can read: it is text"),
        ("Grüße".encode(), "no image file Pillow can read: it is text"),
        (b"\0\1\2\3" * 99, "no image file Pillow can read: its format is not known"),
        (b"\xff\xd8\xff", "no image file Pillow can read: its format is not known"),
        (b"\0\0\0\x18ftypisom" + b"\0" * 99, "no image file Pillow can read: its format is not"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL cannot be read here: convert it to JPEG"),
    ],
)
def test_what_is_no_image_is_refused(data: bytes, said: str) -> None:
    assert why(data).startswith(said)


def test_formats_that_run_other_programs_are_not_tried() -> None:
    """Pillow gives EPS to Ghostscript."""
    data = encoded(Image.new("RGB", (20, 20)), "EPS")
    assert Image.open(io.BytesIO(data)).format == "EPS"
    assert why(data) == "no image file Pillow can read: it is text"


def heic(brand: bytes) -> bytes:
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + b"\0" * 200


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"hevc", b"mif1", b"msf1"])
def test_heic_is_named_with_what_to_do(brand: bytes) -> None:
    if ".heic" in Image.registered_extensions():
        pytest.skip("this Pillow may read HEIC")
    assert (
        why(heic(brand)) == "HEIC cannot be read here: install pillow-heif, or convert it to JPEG"
    )


def test_heic_is_read_where_pillow_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a plugin for it is installed and registered."""

    def accept(prefix: bytes) -> bool:
        return prefix[4:12] == b"ftypheic"

    def factory(file: io.BytesIO, name: str) -> Image.Image:
        return Image.new("RGB", (40, 30), RED)

    Image.init()
    monkeypatch.setitem(Image.EXTENSION, ".heic", "HEIF")
    monkeypatch.setitem(Image.OPEN, "HEIF", (factory, accept))
    assert (pixels(heic(b"heic")) == RED).all()


def test_avif_is_read_where_pillow_can() -> None:
    if not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    assert np.abs(pixels(encoded(Image.new("RGB", (32, 32), RED), "AVIF")) - RED).max() < 8


@pytest.mark.parametrize("error", [ZeroDivisionError, struct.error, RecursionError])
def test_whatever_a_decoder_raises_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(*_: object) -> None:
        raise error("two\nlines")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    assert why(encoded(Image.new("L", (9, 9)), "PNG")) == "damaged (two lines)"


@pytest.mark.parametrize("shape", [(30, 20, 1), (30, 20, 3), (30, 20, 4)])
def test_arrays_are_cropped_like_files(shape: tuple[int, int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    image[..., 3:] = 255
    found = in_memory(image, 20)
    assert (found.width, found.height) == (20, 30)
    assert (found.picture.pixels == image[5:25, :, :3]).all()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 2), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((1, 8, 8, 3), np.uint8),
    ],
)
def test_arrays_of_other_types_and_shapes_are_refused(image: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"has to be an array of uint8.* this one is \w+ \["):
        in_memory(image, 8)


def test_opened_images_are_turned_and_laid_on_white() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    image = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 16, 8))
    opened = Image.open(io.BytesIO(encoded(image, "PNG", exif=exif)))
    found = in_memory(opened, 16).picture.pixels
    assert (found[:8] == 255).all() and (found[8:] == 0).all()


def test_an_opened_image_that_is_truncated_is_refused() -> None:
    data = encoded(photograph(160, 120), "JPEG")
    with pytest.raises(Unreadable, match="truncated"):
        in_memory(Image.open(io.BytesIO(data[: len(data) // 2])), 16)


def refusal(path: Path) -> str:
    with pytest.raises(Unreadable) as caught:
        contents(path)
    return str(caught.value)


def test_contents_are_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(b"any\r\nbytes\x1a\0")
    os.symlink("x.jpg", tmp_path / "link.jpg")
    assert contents(tmp_path / "x.jpg") == contents(tmp_path / "link.jpg") == b"any\r\nbytes\x1a\0"


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    os.symlink("/dev/zero", tmp_path / "device.jpg")
    (tmp_path / "folder.jpg").mkdir()
    assert refusal(tmp_path / "pipe.jpg") == "not a regular file (a named pipe)"
    assert refusal(tmp_path / "device.jpg") == "not a regular file (a device)"
    assert refusal(tmp_path / "folder.jpg") == "not a regular file (a folder)"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.jpg"))
        assert refusal(tmp_path / "s.jpg") == "not a regular file (a socket)"


def test_a_pipe_in_the_place_of_a_file_just_looked_at_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.jpg").write_bytes(b"any")
    regular = (tmp_path / "x.jpg").stat()
    os.mkfifo(tmp_path / "pipe.jpg")
    monkeypatch.setattr(Path, "stat", lambda *_, **__: regular)
    assert refusal(tmp_path / "pipe.jpg") == "not a regular file (a named pipe)"


def test_links_to_nothing_and_to_themselves_are_refused(tmp_path: Path) -> None:
    os.symlink(tmp_path / "gone.jpg", tmp_path / "link.jpg")
    os.symlink("self.jpg", tmp_path / "self.jpg")
    assert refusal(tmp_path / "link.jpg") == "a link to a file that is not there"
    assert refusal(tmp_path / "self.jpg").startswith("cannot be opened: ")
    assert refusal(tmp_path / "none.jpg") == "no such file"
    assert refusal(tmp_path / ("x" * 300)) == "cannot be opened: File name too long"


def test_empty_and_very_large_files_are_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    with (tmp_path / "large.jpg").open("wb") as file:
        file.truncate(2**40)  # takes no room
    assert refusal(tmp_path / "empty.jpg") == "empty file"
    assert refusal(tmp_path / "large.jpg") == "a file of 1048576 MiB: at most 256 are read"


def test_a_file_that_may_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "x.jpg").write_bytes(b"any")
    monkeypatch.setattr(os, "open", deny)
    assert refusal(tmp_path / "x.jpg") == "cannot be opened: Permission denied"


def test_a_package_that_reads_heic_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow finds none by itself; where there is one, it is registered once."""
    called: list[int] = []
    fake = ModuleType("pillow_heif")
    fake.register_heif_opener = lambda: called.append(1)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pillow_heif", fake)
    decode.register_plugins.cache_clear()
    for _ in range(2):
        with pytest.raises(Unreadable):
            decoded(b"words", 8)
    decode.readable()  # folders of images read it too
    assert called == [1]
    decode.register_plugins.cache_clear()
