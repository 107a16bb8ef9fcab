"""All image files of a dataset to arrays, with notes on what was done to them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import PIL
from tqdm import tqdm

from metalearn.data.decode import Levels, Picture, Unreadable, read_image
from metalearn.data.duplicates import Place, duplicate_notes
from metalearn.data.source import Prepared, Split
from metalearn.errors import UserError

ClassFiles = dict[str, list[Path]]  # class name -> its images, sorted
NAMED = 5  # files that do not decode are named, at most
DECODER = f"pillow {PIL.__version__}"

T = TypeVar("T")


class Seen(NamedTuple):
    """A `Picture` without its pixels, or why there is none."""

    picture: Picture | None
    problem: str = ""


def read_splits(folder: Path, splits: dict[str, ClassFiles], size: int) -> Prepared:
    """Every image as RGB, `size` x `size`; those of more than eight bits scaled by their range.

    One range, from the lowest to the highest value of all such images: by a range of its own, each
    image would lose its brightness.

    Raises:
      UserError: images that do not decode; all are counted, the first few named.
    """
    paths = [path for classes in splits.values() for files in classes.values() for path in files]
    images = np.empty((len(paths), size, size, 3), np.uint8)
    seen = _read_all(paths, images)
    _check_readable(paths, seen)
    pictures = [one.picture for one in seen if one.picture is not None]
    levels = _common(pictures)
    if levels is not None:
        _read_deep(paths, pictures, images, levels)
    names = [path.relative_to(folder).as_posix() for path in paths]
    owners = zip(_owners(splits), names, strict=True)
    places = [Place(split, label, name) for (split, label), name in owners]
    notes = [*_notes(pictures, names, levels), *duplicate_notes(images, places)]
    decoder = "" if all(picture.exact for picture in pictures) else DECODER
    return Prepared(_cut(images, splits), notes, decoder)


def _owners(splits: dict[str, ClassFiles]) -> list[tuple[str, str]]:
    """Split and class of each image, in the order of the arrays."""
    classes = [(split, label) for split, found in splits.items() for label in found]
    return [owner for owner in classes for _ in splits[owner[0]][owner[1]]]


def _cut(images: np.ndarray, splits: dict[str, ClassFiles]) -> dict[str, Split]:
    found = {}
    start = 0
    for split, classes in splits.items():
        counts = np.array([len(files) for files in classes.values()], np.int32)
        end = start + int(counts.sum())
        found[split] = Split(images[start:end], counts, tuple(classes))
        start = end
    return found


def _read_all(paths: Sequence[Path], images: np.ndarray) -> list[Seen]:
    """Fill images uint8 [M, size, size, 3], with a progress bar on a terminal."""

    def fill(index: int) -> Seen:
        try:
            picture = read_image(paths[index], images.shape[1])
        except Unreadable as error:
            return Seen(None, str(error))
        images[index] = picture.pixels
        return Seen(picture._replace(pixels=images[index]))  # no second copy is kept

    return _in_threads(fill, range(len(paths)))


def _read_deep(
    paths: Sequence[Path],
    pictures: Sequence[Picture],
    images: np.ndarray,
    levels: Levels,
) -> None:
    """Read again those of more than eight bits whose own range is not the common one."""

    def fill(index: int) -> None:
        images[index] = read_image(paths[index], images.shape[1], levels).pixels

    others = [i for i, picture in enumerate(pictures) if picture.levels not in (None, levels)]
    _in_threads(fill, others)


def _in_threads(work: Callable[[int], T], numbers: Sequence[int]) -> list[T]:
    with ThreadPoolExecutor() as pool:  # Pillow decodes outside Python's global lock
        found = pool.map(work, numbers)
        return list(tqdm(found, "reading", len(numbers), unit=" images", disable=None))


def _check_readable(paths: Sequence[Path], seen: Sequence[Seen]) -> None:
    bad = [(path, one.problem) for path, one in zip(paths, seen, strict=True) if one.problem]
    if not bad:
        return
    if len(bad) == 1:
        path, why = bad[0]
        raise UserError(f"{path} is not a readable image ({why}): replace it or take it out.")
    named = "; ".join(f"{path} ({why})" for path, why in bad[:NAMED])
    more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    listed = f"{len(bad)} files are not readable images: {named}{more}"
    raise UserError(f"{listed}: replace them or take them out.")


def _common(pictures: Sequence[Picture]) -> Levels | None:
    """The common range of images of more than eight bits; None where there are none."""
    found = [picture.levels for picture in pictures if picture.levels is not None]
    if not found:
        return None
    return Levels(min(one.low for one in found), max(one.high for one in found))


def _notes(pictures: Sequence[Picture], names: Sequence[str], levels: Levels | None) -> list[str]:
    """Notes on what was done to some images, a line for each kind."""
    lines = []
    if clear := [i for i, picture in enumerate(pictures) if picture.transparent]:
        lines.append(f"note: {on_white_note(len(clear), len(pictures))}, such as {names[clear[0]]}")
    if levels is not None:
        deep = sum(picture.levels is not None for picture in pictures)
        lines.append(
            f"note: {deep} of {len(pictures)} images have more than 8 bits: their values from "
            f"{levels.low:g} to {levels.high:g} are made 0 to 255"
        )
    if halved := [i for i, picture in enumerate(pictures) if picture.halved]:
        lines.append(
            f"warning: {len(halved)} of {len(pictures)} images have colours of 16 bits, such as "
            f"{names[halved[0]]}: their upper 8 bits are read"
        )
    return lines


def on_white_note(clear: int, count: int) -> str:
    """The note that some images are not opaque."""
    return f"{clear} of {count} images are transparent in places and were laid on white"
