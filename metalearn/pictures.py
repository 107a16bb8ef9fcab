"""Pictures of a run: its learning curve, and one test episode. matplotlib is imported only here, when drawing."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from metalearn.base import Task
from metalearn.metrics import read_rows


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: Path, dpi: int) -> None:
    """Write the picture whole or not at all."""
    part = path.with_name(path.name + ".part")
    figure.savefig(part, dpi=dpi, format="png")
    os.replace(part, path)


@contextmanager
def told_if_not_drawn(path: Path) -> Iterator[None]:
    """Tell in one line of whatever goes wrong inside: no result is lost for want of a picture."""
    try:
        yield
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        print(f"warning: {path} could not be drawn ({reason})", file=sys.stderr)


def draw_curve(metrics: Path, path: Path, title: str) -> None:
    """Training and validation accuracy (%) against outer updates, from the rows of `metrics.jsonl`."""
    rows = read_rows(metrics)
    trained = [(r["step"], 100 * r["accuracy"]) for r in rows if "accuracy" in r]
    valid = [(r["step"], 100 * r["valid_accuracy"], 100 * r["valid_ci95"]) for r in rows if "valid_accuracy" in r]
    figure = _figure(7, 4)
    axes = figure.subplots()
    if trained:
        axes.plot(*zip(*trained, strict=True), color="#9db4c9", linewidth=1, label="training tasks")
    if valid:
        steps, accuracy, ci = zip(*valid, strict=True)
        axes.errorbar(
            steps, accuracy, ci, color="#b2452c", marker="o", markersize=3, capsize=2, label="validation, 95 % CI"
        )
    axes.set(xlabel="outer updates", ylabel="accuracy after adaptation (%)", title=title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    _save(figure, path, 120)


def draw_episode(task: Task, predicted: np.ndarray, path: Path, title: str, most: int = 10) -> None:
    """One episode: a row per class, its support images left, then queries framed green (right) or red (wrong).

    Args:
      task: uint8 images, as in the archive.
      predicted: int [Q], class predicted for each query.
      path: of the PNG.
      title: above it.
      most: images shown of either kind per class.
    """
    ways = int(task.support_y.max()) + 1
    shots = min(most, int((task.support_y == 0).sum()))
    queries = min(most, int((task.query_y == 0).sum()))
    figure = _figure(0.85 * (shots + queries + 1), 0.95 * ways + 0.6)
    axes = figure.subplots(ways, shots + queries + 1, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for label in range(ways):
        row = axes[label]
        for axis, image in zip(row, task.support_x[task.support_y == label][:shots], strict=False):
            _show(axis, np.asarray(image), None, f"class {label}")
        found = np.flatnonzero(task.query_y == label)[:queries]
        for axis, i in zip(row[shots + 1 :], found, strict=True):
            right = predicted[i] == label
            _show(
                axis,
                np.asarray(task.query_x[i]),
                "#2e7d32" if right else "#c62828",
                f"{'' if right else 'not '}{predicted[i]}",
            )
    share = 100 * float((predicted == task.query_y).mean())
    figure.suptitle(
        f"{title}: support left, queries right with predicted class; {share:.0f} % of queries right", fontsize=9
    )
    _save(figure, path, 110)


def _show(axis: Any, image: np.ndarray, frame: str | None, text: str) -> None:
    axis.set_axis_on()
    axis.imshow(image.squeeze(), cmap="gray" if image.shape[-1] == 1 else None)
    axis.set(xticks=[], yticks=[])
    axis.set_title(text, fontsize=6, pad=2)
    for spine in axis.spines.values():
        spine.set(color=frame or "#777777", linewidth=2 if frame else 0.8)
