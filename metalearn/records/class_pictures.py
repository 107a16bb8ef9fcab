"""Pictures of classifying a test split: its confusion matrix, and its worst mistakes.

matplotlib is imported only when drawing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from metalearn.records.canvas import GREY, RED, new_figure, save, shorten

MOST_COUNTED = 15  # classes whose counts are written into the cells
MOST_NAMED = 100  # names on an axis; of more classes some are left out
CELL = 0.5, 0.11  # inches a class, where counts are written and where not, at least
LONGEST_NAME = 24  # letters of a class's name beside the matrix, at most
POINTS = 72  # an inch
GAMMA = 0.35  # of the colours, else a confusion of a few percent is not seen
COLUMNS = 6  # of mistakes
SIDE = 1.65  # inches of a mistake's image
PITCH, ROW = 1.06, 1.42  # from image to image and from row to row, in images
CAPTION = 22  # letters of a class's name below an image, at most


def draw_confusion(
    confusion: Sequence[Sequence[int]] | np.ndarray,
    names: Sequence[str],
    path: Path,
    title: str,
) -> None:
    """Draws a confusion matrix, coloured by the fraction of each true class.

    Of 15 classes or fewer the cells also hold the numbers of images. The row of a class without
    images is grey.

    Args:
      confusion: int [C, C], by true class (row) and predicted class (column).
      names: of the C classes.
      path: of the PNG.
      title: above it.
    """
    counts = np.asarray(confusion)
    step = -(-len(names) // MOST_NAMED)
    shown = [shorten(name, LONGEST_NAME) for name in names[::step]]
    side = _side(len(counts))
    size = min(9.0, 0.8 * POINTS * side / len(shown))
    margin = 0.55 * size / POINTS * max(map(len, shown))
    figure = new_figure(side + margin + 1.4, side + margin + 0.8)
    axes = figure.subplots()
    drawn = _draw_cells(axes, counts)
    at = range(0, len(names), step)
    axes.set_xticks(at, shown, rotation=90, fontsize=size)
    axes.set_yticks(at, shown, fontsize=size)
    axes.tick_params(length=2)
    axes.set(xlabel="predicted class", ylabel="true class", title=title)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.5, ticks=[0, 1, 5, 20, 50, 100])
    bar.set_label("% of the true class")
    save(figure, path, 150)


def _side(classes: int) -> float:
    """Of the matrix, in inches."""
    counted, plain = CELL
    if classes <= MOST_COUNTED:
        return max(3.0, counted * classes)
    return max(counted * MOST_COUNTED, plain * min(classes, MOST_NAMED))


def _draw_cells(axes: Any, counts: np.ndarray) -> Any:
    """The coloured matrix, with the numbers of images in its cells where they have room."""
    from matplotlib.colors import PowerNorm

    norm = PowerNorm(GAMMA, 0, 100)
    totals = counts.sum(1, keepdims=True)
    shares = np.ma.masked_array(100 * counts / np.maximum(totals, 1))
    shares[totals[:, 0] == 0] = np.ma.masked
    axes.set_facecolor("#dddddd")
    drawn = axes.imshow(shares, cmap="Blues", norm=norm)
    if len(counts) > MOST_COUNTED:
        return drawn
    for row, column in np.argwhere(counts):
        colour = "white" if norm(shares[row, column]) > 0.55 else "#222222"
        text = str(counts[row, column])
        axes.text(column, row, text, color=colour, ha="center", va="center", fontsize=9)
    return drawn


def worst_mistakes(logits: np.ndarray, labels: np.ndarray, number: int) -> np.ndarray:
    """Rows of images that are wrongly classified, the most confident mistakes first.

    Args:
      logits: float32 [M, C].
      labels: int [M], true classes.
      number: of mistakes, at most.

    Returns:
      int [K], K <= number.
    """
    wrong = np.flatnonzero(logits.argmax(1) != labels)
    confidence = softmax(logits[wrong].astype(np.float64), 1).max(1)
    return wrong[np.argsort(-confidence, kind="stable")[:number]]


def draw_mistakes(
    images: np.ndarray,
    true: Sequence[str],
    predicted: Sequence[str],
    confidences: Sequence[float] | np.ndarray,
    path: Path,
    title: str,
) -> None:
    """Draws wrongly classified images with their classes.

    Args:
      images: uint8 [K, H, W, Ch] of one channel or three, in the order of `worst_mistakes`; K may
        be 0.
      true: names of the K true classes.
      predicted: names of the K predicted classes.
      confidences: K probabilities of the predicted classes.
      path: of the PNG.
      title: above it.
    """
    columns = min(COLUMNS, max(len(images), 3))  # three are as wide as a title
    rows = max(1, -(-len(images) // columns))
    figure = new_figure(SIDE * columns * PITCH, SIDE * rows * ROW + 0.4)
    axes = figure.subplots()
    captions = zip(true, predicted, confidences, strict=True)
    for i, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(i, columns)
        _show_mistake(axes, image, column * PITCH, row * ROW, *caption)
    if not len(images):
        axes.text(columns * PITCH / 2, ROW / 2, "no mistakes", color=GREY, ha="center")
    axes.set(xlim=(-0.02, columns * PITCH), ylim=(rows * ROW, 0), aspect="equal")
    axes.set_axis_off()
    figure.suptitle(title, fontsize=11)
    save(figure, path, 110)


def _show_mistake(
    axes: Any,
    image: np.ndarray,
    left: float,
    top: float,
    true: str,
    predicted: str,
    confidence: float,
) -> None:
    """Shows the image in a unit square, with its caption below."""
    is_grey = image.shape[-1] == 1
    pixels = image.squeeze(-1) if is_grey else image
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, extent=(left, left + 1, top + 1, top))
    lines = [
        (shorten(true, CAPTION), "#222222"),
        (f"as {shorten(predicted, CAPTION)}", RED),
        (f"{100 * confidence:.0f} % sure", GREY),
    ]
    for i, (line, colour) in enumerate(lines):
        axes.text(left, top + 1.03 + 0.11 * i, line, color=colour, fontsize=8, va="top")
