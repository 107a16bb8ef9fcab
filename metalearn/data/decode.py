"""An image file to pixels: upright, opaque on white, RGB of eight bits."""

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from PIL import Image

Fit = Callable[[Image.Image, int], Image.Image]  # image and pixels a side -> the image resized
Source = Path | IO[bytes]  # where an image file is read from

# Extensions of image files. Which of them are read depends on what Pillow was built with.
PICTURES = frozenset(
    ".apng .avif .bmp .dib .gif .heic .heif .j2k .jfif .jp2 .jpe .jpeg .jpg .jxl .pbm .pcx .pgm "
    ".png .pnm .ppm .tga .tif .tiff .webp".split()
)
# Formats whose pixels are the same with every version of a decoder.
EXACT = frozenset(("BMP", "DIB", "GIF", "PCX", "PNG", "PPM", "TGA", "TIFF"))
ORIENTATION = 0x0112  # EXIF's tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Unreadable(Exception):
    """Why an image does not decode."""


class Levels(NamedTuple):
    """The darkest and the brightest value of images of more than eight bits."""

    low: float
    high: float


class Picture(NamedTuple):
    """An image file as it was read.

    Attributes:
      pixels: uint8 [H, W, 3].
      transparent: whether any pixel is, and so was laid on white.
      levels: its range of values where it has more than eight bits, else None.
      halved: whether it has colours of 16 bits, of which Pillow gives the upper 8.
      exact: whether any version of Pillow gives these pixels.
    """

    pixels: np.ndarray
    transparent: bool
    levels: Levels | None
    halved: bool
    exact: bool


def readable() -> frozenset[str]:
    """The extensions of image files that this build of Pillow can read, with its plugins."""
    register_plugins()
    known = Image.registered_extensions()
    return frozenset(ending for ending in PICTURES if known.get(ending) in Image.OPEN)


@cache
def register_plugins() -> None:
    """Let Pillow know of formats that need a package of their own: HEIC, as iPhones write it."""
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()


def formats() -> tuple[str, ...]:
    """Pillow's names of the formats of `PICTURES`, in the order in which it tries them.

    A file is opened by what it holds, whatever its ending says; others run programs, as EPS does.
    """
    endings = readable()
    known = Image.registered_extensions()
    wanted = {known[ending] for ending in endings}
    return tuple(name for name in Image.OPEN if name in wanted)


def squeezed(image: Image.Image, size: int) -> Image.Image:
    """The whole image, `size` x `size` by Pillow's Lanczos filter, whatever its proportions."""
    return image.resize((size, size), Image.Resampling.LANCZOS)


def cropped(image: Image.Image, size: int) -> Image.Image:
    """The central square, `size` x `size` by Pillow's bicubic filter, antialiased.

    So the shorter side gets `size` pixels and what the longer one has more is cut off.
    """
    width, height = image.size
    side = min(width, height)
    left = (width - side) // 2
    top = (height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return square.resize((size, size), Image.Resampling.BICUBIC)


def unchanged(image: Image.Image, size: int) -> Image.Image:
    """The image as it is."""
    return image


def read_image(
    file: Source, size: int, levels: Levels | None = None, fit: Fit = squeezed
) -> Picture:
    """The image upright, opaque, RGB and resized.

    Args:
      file: its path, or itself, opened.
      size: height and width, in pixels.
      levels: values that become 0 and 255 in images of more than eight bits; by default the lowest
        and the highest of the image.
      fit: how it gets this size.

    Raises:
      Unreadable: it does not decode.
    """
    try:
        with Image.open(file, formats=formats()) as opened:
            return picture_of(opened, size, levels, fit)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise what their formats can get wrong
        raise Unreadable(" ".join(str(error).split()) or type(error).__name__) from error


def picture_of(
    file: Image.Image, size: int, levels: Levels | None = None, fit: Fit = squeezed
) -> Picture:
    """The same of an image that is opened, or that never was a file.

    Args:
      file: the image; its pixels need not be read yet.
      size: height and width, in pixels.
      levels: as in `read_image`.
      fit: how it gets this size.
    """
    halved = ";16" in str(getattr(file, "tile", "")) and not _is_deep(file)
    image = upright(file)
    own = None
    if _is_deep(image):
        own = _levels(image)
        image = _eight_bits(image, levels or own)
    colours, transparent = on_white(image, "RGB")
    small = fit(colours, size)
    exact = file.format in EXACT and colours.size == small.size
    return Picture(np.asarray(small), transparent, own, halved, exact)


def size_within(file: Source, largest: int) -> tuple[int, int] | None:
    """Height and width of the upright image; None if one is larger, or it does not decode."""
    try:
        with Image.open(file, formats=formats()) as opened:
            if max(opened.size) > largest:  # told by the header: the pixels need not be read
                return None
            width, height = upright(opened).size
            return height, width
    except MemoryError:
        raise
    except Exception:  # decoders raise what their formats can get wrong
        return None


def upright(image: Image.Image) -> Image.Image:
    """The image turned as the orientation in its EXIF block says."""
    image.load()  # the EXIF block may come after the pixels
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # a damaged block: the image can be seen all the same
        return image
    return image if turn is None else image.transpose(turn)


def on_white(image: Image.Image, mode: str) -> tuple[Image.Image, bool]:
    """The image in this mode, without alpha, and whether any pixel was transparent.

    Transparent pixels have a colour too, most often black: dropping alpha would make a black icon
    on a transparent ground all black.
    """
    if not image.has_transparency_data:
        return image.convert(mode), False
    whole = image.convert("RGBA")
    if whole.getchannel("A").getextrema()[0] == 255:
        return whole.convert(mode), False
    page = Image.new("RGBA", whole.size, "white")
    page.alpha_composite(whole)
    return page.convert(mode), True


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _levels(image: Image.Image) -> Levels:
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise ValueError("some pixels are no numbers")
    return Levels(float(values.min()), float(values.max()))


def _eight_bits(image: Image.Image, levels: Levels) -> Image.Image:
    """The image with values from the lowest to the highest level as 0 to 255.

    Pillow's own conversion would clip them at 255.
    """
    span = (levels.high - levels.low) or 1.0
    values = (np.asarray(image, np.float64) - levels.low) * (255 / span)
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
