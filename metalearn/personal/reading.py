"""Photographs from wherever they are: files, arrays, images in memory."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from metalearn.data.decode import Unreadable
from metalearn.data.snapshots import (
    Refused,
    Snapshot,
    from_pixels,
    printable,
    read_snapshots,
)
from metalearn.data.tree import label_of
from metalearn.errors import UserError

Photo = str | Path | np.ndarray | Image.Image
Some = TypeVar("Some")
FILE = (str, Path)
NAMED = 5  # files that cannot be read are named, at most


def snapshots_of(photos: Iterable[Photo], size: int) -> list[Snapshot]:
    """The photographs, in their order.

    Args:
      photos: files, arrays uint8 [H,W,3] or images of Pillow.
      size: pixels a side.

    Raises:
      UserError: one cannot be read, or it is one alone and no list.
    """
    if isinstance(photos, str | Path):
        raise UserError(f"{printable(str(photos))} is one photo: give a list of photos")
    photos = list(photos)  # it may be one that can be gone through once
    files = iter(readable_ones([Path(one) for one in photos if isinstance(one, FILE)], size))
    return [
        next(files) if isinstance(photo, FILE) else _in_memory(photo, size, f"photo {place}")
        for place, photo in enumerate(photos, 1)
    ]


def check_name(name: object) -> None:
    """See that a class is named by text, as a file keeps it.

    Raises:
      UserError: it is not.
    """
    if not isinstance(name, str) or not name:
        raise UserError(f"a class is named {name!r}: give text")


def named(classes: Mapping[str, Some]) -> dict[str, Some]:
    """Classes by the names that folders of their names would give them.

    Raises:
      UserError: a name that is no text, or two that differ in spaces or in Unicode alone.
    """
    found: dict[str, Some] = {}
    for name, some in classes.items():
        check_name(name)
        label = label_of(name)
        if label in found:
            raise UserError(f"two classes are named {label!r}: they differ in spaces or in Unicode")
        found[label] = some
    return found


def _in_memory(photo: np.ndarray | Image.Image, size: int, name: str) -> Snapshot:
    if not isinstance(photo, np.ndarray | Image.Image):
        raise UserError(f"{name} is {type(photo).__name__}: give a file, an array or an image")
    try:
        return from_pixels(photo, size, name)
    except (UserError, Unreadable) as error:
        raise UserError(f"{name}: {error}") from error


def readable_ones(paths: Sequence[Path], size: int, root: Path | None = None) -> list[Snapshot]:
    """The photographs of files.

    Args:
      paths: of the files.
      size: pixels a side.
      root: folder below which they are named.

    Raises:
      UserError: some cannot be read; the first few are named.
    """
    (found, refused) = read_snapshots(paths, size, root)
    if refused:
        raise UserError(f"{said(refused)}: replace it or take it out")
    return found


def said(refused: Sequence[Refused]) -> str:
    """Which files cannot be read, and why, in one line."""
    named = "; ".join(f"{printable(str(one.path))} ({one.why})" for one in refused[:NAMED])
    more = f"; and {len(refused) - NAMED} more" if len(refused) > NAMED else ""
    return f"{len(refused)} of the photos cannot be read: {named}{more}"
