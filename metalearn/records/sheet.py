"""A contact sheet: images, and what augmentation makes of them.

matplotlib is imported only when drawing.
"""

from pathlib import Path

import numpy as np

from metalearn.records.canvas import GREY, new_figure, save
from metalearn.records.pictures import show_image
from metalearn.types import Array

PITCH = 1.06  # from image to image, in images
APART = 0.25  # between the images themselves and their versions, in images
INCHES = 1.0  # width of an image
LETTER = 0.085  # about the width of a letter of the title, in inches


def draw_sheet(
    images: Array | np.ndarray, versions: Array | np.ndarray, path: Path, title: str
) -> None:
    """Draws a row for each image: first the image itself, then its augmented versions.

    Args:
      images: uint8 [B,H,W,Ch].
      versions: uint8 [B,V,H,W,Ch].
      path: of the PNG.
      title: above it.
    """
    rows, columns, height, width, _ = versions.shape
    tall = height / width
    pitch = tall + PITCH - 1
    first = PITCH + APART
    right = first + columns * PITCH
    # Few versions may be narrower than the title
    across = max(INCHES * (right + 0.2), LETTER * len(title))
    figure = new_figure(across, INCHES * (rows * pitch + 0.6))
    axes = figure.subplots()
    for row in range(rows):
        top = row * pitch
        show_image(axes, images[row], 0, top, GREY, tall)
        for column in range(columns):
            left = first + column * PITCH
            show_image(axes, versions[row, column], left, top, GREY, tall)
    axes.text(0, -0.12, "image", fontsize=9)
    axes.text(first, -0.12, "augmented", fontsize=9)
    axes.set(xlim=(-0.05, right), ylim=(rows * pitch, -0.3), aspect="equal")
    axes.set_axis_off()
    figure.suptitle(title, fontsize=10)
    save(figure, path, 110)
