"""Pictures of a run: its learning curve, and one test episode.

matplotlib is imported only when drawing.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from metalearn.records.canvas import GREEN, GREY, RED, new_figure, save, shorten
from metalearn.training.metric_log import read_rows
from metalearn.types import Task

PITCH, ROW = 1.12, 1.32  # from image to image and from row to row, in images
LETTER = 0.11  # about the width of a letter, in images
LONGEST_NAME = 24  # letters of a class's name beside its row, at most


@contextmanager
def warn_if_not_drawn(path: Path) -> Iterator[None]:
    """Prints one line of warning for any exception inside: a failed picture costs no result."""
    try:
        yield
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        print(f"warning: {path} could not be drawn ({reason})", file=sys.stderr)


def draw_curve(metrics: Path, path: Path, title: str, unit: str = "tasks") -> None:
    """Draws training and validation accuracy (%) against updates.

    Args:
      metrics: the file `metrics.jsonl`.
      path: of the PNG.
      title: above it.
      unit: what is validated on, tasks or images.
    """
    rows = read_rows(metrics)
    trained = [(r["step"], 100 * r["accuracy"]) for r in rows if "accuracy" in r]
    valid = [
        (r["step"], 100 * r["valid_accuracy"], 100 * r["valid_ci95"])
        for r in rows
        if "valid_accuracy" in r
    ]
    what = (
        "training images, all classes"
        if any("images_per_s" in r for r in rows)
        else "training tasks"
    )
    figure = new_figure(7, 4)
    axes = figure.subplots()
    if trained:
        axes.plot(*zip(*trained, strict=True), color="#9db4c9", linewidth=1, label=what)
    if valid:
        steps, accuracy, ci = zip(*valid, strict=True)
        label = f"validation {unit}, 95 % CI"
        axes.errorbar(
            steps, accuracy, ci, color="#b2452c", marker="o", markersize=3, capsize=2, label=label
        )
        best = accuracy.index(max(accuracy))
        axes.plot(
            steps[best],
            accuracy[best],
            "o",
            markersize=10,
            fillstyle="none",
            color="#333333",
            label="tested",
        )
    axes.set(xlabel="outer updates", ylabel="accuracy (%)", title=title)
    axes.grid(alpha=0.3)
    if axes.has_data():
        axes.legend(frameon=False)
    save(figure, path, 120)


def draw_episode(
    task: Task,
    predicted: np.ndarray,
    path: Path,
    title: str,
    names: Sequence[str] = (),
    most: int = 10,
) -> None:
    """Draws one episode: a row per class, support images left, queries right.

    Queries are framed green where they are classified correctly, else red, and below them is the
    row that they were taken for.

    Args:
      task: uint8 images, as in the archive.
      predicted: int [Q], class predicted for each query.
      path: of the PNG.
      title: above it.
      names: of the N classes; by default they are numbered.
      most: images shown of each class, of either kind.
    """
    ways = int(task.support_y.max()) + 1
    named = [f"{row}  {shorten(name, LONGEST_NAME)}" for row, name in enumerate(names, 1)]
    named = named or [f"class {label + 1}" for label in range(ways)]
    margin = 0.4 + LETTER * max(map(len, named))
    shots = min(most, int((task.support_y == 0).sum()))
    queries = min(most, int((task.query_y == 0).sum()))
    first = shots * PITCH + 0.4
    right = 100 * float((predicted == task.query_y).mean())
    figure = new_figure(0.8 * (margin + first + queries * PITCH), 0.8 * (ways * ROW + 0.9))
    axes = figure.subplots()
    for label in range(ways):
        top = label * ROW
        axes.text(-0.15, top + 0.5, named[label], ha="right", va="center", fontsize=9)
        for i, image in enumerate(task.support_x[task.support_y == label][:shots]):
            show_image(axes, image, i * PITCH, top, GREY)
        for i, q in enumerate(np.flatnonzero(task.query_y == label)[:queries]):
            place = (first + i * PITCH, top)
            _show_query(axes, task.query_x[q], place, label, int(predicted[q]))
    axes.text(0, -0.15, "support", fontsize=9)
    axes.text(first, -0.15, "queries", fontsize=9)
    width = first + queries * PITCH
    axes.set(xlim=(-margin, width), ylim=(ways * ROW, -0.4), aspect="equal")
    axes.set_axis_off()
    shown = ways * queries
    some = f", {shown} shown" if shown < len(predicted) else ""
    said = f"{title}: {right:.0f} % of {len(predicted)} queries right{some}"
    figure.suptitle(said, fontsize=10)
    save(figure, path, 110)


def _show_query(
    axes: Any, image: Any, place: tuple[float, float], label: int, predicted: int
) -> None:
    """Shows a query, and the number of the row that it was wrongly taken for.

    Args:
      axes: to draw on.
      image: uint8 [H,W,Ch].
      place: of its left and upper border.
      label: its class, from 0.
      predicted: what it was taken for.
    """
    (left, top) = place
    wrong = predicted != label
    show_image(axes, image, left, top, RED if wrong else GREEN)
    if wrong:
        said = f"as {predicted + 1}"
        axes.text(left + 0.5, top + 1.05, said, color=RED, ha="center", va="top", fontsize=7)


def show_image(
    axes: Any, image: Any, left: float, top: float, frame: str, height: float = 1.0
) -> None:
    """Shows the image one unit wide, framed.

    Args:
      axes: to draw on, whose rows count downwards.
      image: uint8 [H,W,Ch].
      left: of its left border.
      top: of its upper border.
      frame: colour of the frame, thin where it is `GREY`.
      height: of the picture; 1 for a square, whatever the image is.
    """
    pixels = np.asarray(image)
    grey = {"cmap": "gray", "vmin": 0, "vmax": 255} if pixels.shape[-1] == 1 else {}
    bottom = top + height
    place = (left, left + 1, bottom, top)
    axes.imshow(
        pixels.squeeze(-1) if grey else pixels, extent=place, interpolation="nearest", **grey
    )
    corners = ([left, left + 1, left + 1, left, left], [top, top, bottom, bottom, top])
    axes.plot(*corners, color=frame, linewidth=1 if frame == GREY else 2.5)
