"""Photographs for contenders of `benchmarks.personalise`: drawn, and written as JPEG.

NumPy and Pillow only: the peers' environment holds nothing of ours.
"""

import os
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 640, 480  # of a file, in pixels
SIDE = 160  # pixels a side that the network is shown
DETAILS = (8, 40, 320)  # columns of the patterns that are laid over each other
QUALITY = 90  # of JPEG
COMPARED = 4  # images whose features are compared
BATCH = 16  # images at once, where there are several


def draw(folder: Path, classes: int, each: int) -> None:
    """Write `FOLDER/class0000/000.jpg` and so on; photographs of a class share their coarse part.

    Args:
      folder: to be made.
      classes: class folders in it.
      each: photographs of a class.
    """
    for label in range(classes):
        place = folder / f"class{label:04d}"
        place.mkdir(parents=True)
        shared = _pattern(np.random.default_rng([label]), DETAILS[0])
        for number in range(each):
            photo(shared, label, number).save(place / f"{number:03d}.jpg", quality=QUALITY)


def photo(shared: np.ndarray, label: int, number: int) -> Image.Image:
    """A photograph of a class.

    Args:
      shared: float32 [H,W,3], what photographs of the class share.
      label: the class.
      number: which of its photographs.
    """
    rng = np.random.default_rng([label, number])
    own = sum(_pattern(rng, columns) for columns in DETAILS)
    pixels = 128 + 60 * shared + 30 * own
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _pattern(rng: np.random.Generator, columns: int) -> np.ndarray:
    """Numbers about zero, float32 [H,W,3], with so many columns to draw."""
    rows = columns * HEIGHT // WIDTH
    drawn = rng.uniform(-1, 1, (3, rows, columns)).astype(np.float32)
    enlarged = [np.asarray(Image.fromarray(one).resize((WIDTH, HEIGHT))) for one in drawn]
    return np.stack(enlarged, -1)


def folder_of_photos() -> Path:
    """Where the photographs are that contenders are given: BENCHMARK_PHOTOS."""
    return Path(os.environ["BENCHMARK_PHOTOS"])


def first_photo(folder: Path) -> Path:
    """The photograph that is asked about."""
    return min(folder.glob("*/*.jpg"))


def compared_images() -> np.ndarray:
    """Images uint8 [B,160,160,3] whose features are compared."""
    return np.random.default_rng(2).integers(0, 256, (COMPARED, SIDE, SIDE, 3), np.uint8)
