"""A photograph's file, whoever made it and whatever it is: to pixels, or to why there are none.

Opening a named pipe would wait for ever, a file of a few bytes may claim more pixels than there is
memory for, and to decode all of a JPEG of 12 megapixels takes much longer than is needed for the
few that are looked at.
"""

import io
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, JpegImagePlugin

from metalearn.data.decode import Picture, Unreadable, cropped, formats, picture_of
from metalearn.errors import UserError

LARGEST = 2**28  # bytes of a file
WHOLE = 89_000_000  # pixels of an image that has to be in memory whole; Pillow warns of more
REDUCED = 250_000_000  # pixels of a JPEG that is decoded row by row, at a reduced scale
SPARE = 2  # times the pixels wanted that are decoded at least, for the filter that comes after
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# Brands of the container that HEIC, AVIF and videos share (ISO/IEC 23008-12, 10.2 and B.4)
HEIC = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
CHANNELS = (1, 3, 4)  # of an array: grey, RGB, RGBA
CONTROLS = frozenset(map(chr, (*range(9), *range(14, 32))))  # characters that texts do not have
JXL = (b"\xff\x0a", b"\0\0\0\x0cJXL ")  # how JPEG XL begins


class Photograph(NamedTuple):
    """The picture of a file, and the pixels that the file has itself."""

    picture: Picture
    width: int
    height: int


def contents(path: Path) -> bytes:
    """All bytes of a regular file.

    Raises:
      Unreadable: it is none, is empty, is too large, or cannot be read.
    """
    try:
        _check_status(path.stat())
        # Another file may have taken its place: a pipe must not be waited for even then
        with open(path, "rb", opener=_at_once) as file:
            _check_status(os.fstat(file.fileno()))
            return file.read(LARGEST)
    except FileNotFoundError as error:
        why = "a link to a file that is not there" if path.is_symlink() else "no such file"
        raise Unreadable(why) from error
    except OSError as error:
        raise Unreadable(f"cannot be opened: {error.strerror or error}") from error


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_status(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((kind for test, kind in KINDS if test(status.st_mode)), "of a kind unknown")
        raise Unreadable(f"not a regular file ({kind})")
    if status.st_size == 0:
        raise Unreadable("empty file")
    if status.st_size > LARGEST:
        raise Unreadable(f"a file of {status.st_size >> 20} MiB: at most {LARGEST >> 20} are read")


def decoded(data: bytes, size: int) -> Photograph:
    """The photograph in a file's bytes, upright, opaque and square; the first of an animation.

    A JPEG is decoded at the smallest scale of 1/8, 1/4, 1/2 and 1 that leaves twice `size`.

    Raises:
      Unreadable: it does not decode, has too many pixels, or has a format that Pillow cannot read.
    """
    if not data:
        raise Unreadable("empty file")
    with _said_why(), _opened(data) as image:
        width, height = image.size
        _check_pixels(image)
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            image.draft(None, (SPARE * size, SPARE * size))
        return Photograph(picture_of(image, size, fit=cropped), width, height)


def in_memory(image: np.ndarray | Image.Image, size: int) -> Photograph:
    """The same of an array uint8 [H, W, 1, 3 or 4], or of an image that is opened.

    Raises:
      UserError: an array of another type or shape.
      Unreadable: the image does not decode.
    """
    opened = _of_array(image) if isinstance(image, np.ndarray) else image
    width, height = opened.size
    with _said_why():
        return Photograph(picture_of(opened, size, fit=cropped), width, height)


def _of_array(image: np.ndarray) -> Image.Image:
    fits = image.ndim == 3 and image.shape[-1] in CHANNELS and image.size > 0
    if not fits or image.dtype != np.uint8:
        raise UserError(
            "an image has to be an array of uint8, height x width x 1, 3 or 4, with values up to "
            f"255; this one is {image.dtype} {list(image.shape)}"
        )
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else np.ascontiguousarray(image))


@contextmanager
def _said_why() -> Iterator[None]:
    """Decoders raise what their formats can get wrong: as `Unreadable`, in one line."""
    try:
        yield
    except (MemoryError, Unreadable):
        raise
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        kind = "truncated or damaged" if "truncated" in said.lower() else "damaged"
        raise Unreadable(f"{kind} ({said})") from error


def _opened(data: bytes) -> Image.Image:
    """The image, with nothing but its header read.

    As Image.open does, which warns of large images, and refuses larger ones before a JPEG can be
    asked for fewer pixels. Formats that run other programs, as EPS does, are not tried.
    """
    for name in formats():
        factory, accept = Image.OPEN[name]
        if name == JpegImagePlugin.JpegImageFile.format:
            factory = JpegImagePlugin.JpegImageFile  # of several pictures in a file, the first
        try:
            fits = accept is None or accept(data[:16])  # or a text: the format needs a library
            if fits and not isinstance(fits, str):
                return factory(io.BytesIO(data), "")
        except (SyntaxError, IndexError, TypeError, struct.error):  # not of this format
            continue
    raise Unreadable(_unknown(data))


def _unknown(data: bytes) -> str:
    """Why no format fits."""
    if data[4:8] == b"ftyp" and data[8:12] in HEIC:
        return "HEIC cannot be read here: install pillow-heif, or convert it to JPEG"
    if data.startswith(JXL):
        return "JPEG XL cannot be read here: convert it to JPEG"
    start = data[:512].decode(errors="replace").rstrip("\ufffd")  # its last character may be cut
    binary = not start or "\ufffd" in start or not CONTROLS.isdisjoint(start)
    what = "its format is not known" if binary else "it is text"
    return f"no image file Pillow can read: {what}"


def _check_pixels(image: Image.Image) -> None:
    width, height = image.size
    jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
    most = REDUCED if jpeg and "progressive" not in image.info else WHOLE
    if width * height > most:
        millions = f"{most // 1_000_000} million"
        raise Unreadable(f"{width} x {height} pixels, at most {millions} are read: make it smaller")
