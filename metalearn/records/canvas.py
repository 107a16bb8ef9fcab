"""What pictures share: colours, a figure, shortened names.

matplotlib is imported only when drawing.
"""

import os
from pathlib import Path
from typing import Any

GREEN, RED, GREY = "#2e7d32", "#c62828", "#777777"


def new_figure(width: float, height: float) -> Any:
    """An empty figure of a size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Any, path: Path, dpi: int) -> None:
    """Writes the picture whole or not at all."""
    part = path.with_name(path.name + ".part")
    figure.savefig(part, dpi=dpi, format="png")
    os.replace(part, path)


def shorten(name: str, most: int) -> str:
    """The name in at most this many letters: an ellipsis replaces its middle.

    Names of related classes differ at their beginning or at their end.
    """
    if len(name) <= most:
        return name
    last = most // 2
    return f"{name[: most - 1 - last]}…{name[-last:]}"
