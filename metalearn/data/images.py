"""All image files of a dataset to arrays, with notes on what was done to them."""

import importlib.metadata
import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import PIL
from tqdm import tqdm

from metalearn.data.decode import Fit, Levels, Picture, Source, Unreadable, read_image, squeezed
from metalearn.data.duplicates import Place, duplicate_notes
from metalearn.data.source import Prepared, Split
from metalearn.errors import UserError

ClassFiles = dict[str, list[Path]]  # class name -> its images, sorted
NAMED = 5  # files that do not decode are named, at most
DECODER = f"pillow {PIL.__version__}"
HEIC = (".heic", ".heif")  # endings of what pillow-heif decodes

T = TypeVar("T")
Read = Callable[..., Picture]  # a `Photo`, and perhaps `levels`, -> its pixels


class Photo(NamedTuple):
    """An image file on the disk, or in an archive.

    Attributes:
      name: below the user's folder or in the archive, for notes.
      path: for messages; what is read where there is no `data`.
      data: contents of the file.
    """

    name: str
    path: Path
    data: bytes | None = None

    def source(self) -> Source:
        """What Pillow opens."""
        return self.path if self.data is None else io.BytesIO(self.data)


Photos = dict[str, list[Photo]]  # class name -> its images


class Seen(NamedTuple):
    """A `Picture` without its pixels, or why there is none."""

    picture: Picture | None
    problem: str = ""


def read_splits(folder: Path, splits: dict[str, ClassFiles], size: int) -> Prepared:
    """Every image below `folder` as RGB, squeezed to `size` x `size`; see `read_photos`."""
    return read_photos(photos_of(folder, splits), size)


def photos_of(folder: Path, splits: Mapping[str, ClassFiles]) -> dict[str, Photos]:
    """The files of each class of each split, with names below `folder`."""
    return {
        split: {
            label: [Photo(path.relative_to(folder).as_posix(), path) for path in files]
            for label, files in classes.items()
        }
        for split, classes in splits.items()
    }


def read_photos(
    splits: Mapping[str, Photos],
    size: int,
    fit: Fit = squeezed,
    shape: tuple[int, int] | None = None,
) -> Prepared:
    """Every image as RGB; those of more than eight bits scaled by their range.

    One range, from the lowest to the highest value of all such images: by a range of its own, each
    image would lose its brightness.

    Args:
      splits: the image files.
      size: height and width that `fit` gives, in pixels.
      fit: how an image gets its size.
      shape: height and width, if `fit` gives others than `size`.

    Raises:
      UserError: images that do not decode; all are counted, the first few named.
    """
    photos = [photo for classes in splits.values() for some in classes.values() for photo in some]
    images = np.empty((len(photos), *(shape or (size, size)), 3), np.uint8)
    read = partial(_read, size=size, fit=fit)
    seen = _read_all(photos, images, read)
    _check_readable(photos, seen)
    pictures = [one.picture for one in seen if one.picture is not None]
    levels = _common(pictures)
    if levels is not None:
        others = [i for i, one in enumerate(pictures) if one.levels not in (None, levels)]
        _read_again([photos[i] for i in others], images, others, partial(read, levels=levels))
    names = [photo.name for photo in photos]
    owners = zip(_owners(splits), names, strict=True)
    places = [Place(split, label, name) for (split, label), name in owners]
    notes = [*_notes(pictures, names, levels), *duplicate_notes(images, places)]
    decoder = "" if all(picture.exact for picture in pictures) else decoder_of(names)
    return Prepared(_cut(images, splits), notes, decoder)


def decoder_of(names: Sequence[str]) -> str:
    """The libraries, with their versions, that decide the pixels of files with these names."""
    if not any(name.lower().endswith(HEIC) for name in names):
        return DECODER
    return f"{DECODER}, pillow-heif {importlib.metadata.version('pillow-heif')}"


def _read(photo: Photo, size: int, fit: Fit, levels: Levels | None = None) -> Picture:
    return read_image(photo.source(), size, levels, fit)


def _owners(splits: Mapping[str, Photos]) -> list[tuple[str, str]]:
    """Split and class of each image, in the order of the arrays."""
    classes = [(split, label) for split, found in splits.items() for label in found]
    return [owner for owner in classes for _ in splits[owner[0]][owner[1]]]


def _cut(images: np.ndarray, splits: Mapping[str, Photos]) -> dict[str, Split]:
    found = {}
    start = 0
    for split, classes in splits.items():
        counts = np.array([len(files) for files in classes.values()], np.int32)
        end = start + int(counts.sum())
        found[split] = Split(images[start:end], counts, tuple(classes))
        start = end
    return found


def _read_all(photos: Sequence[Photo], images: np.ndarray, read: Read) -> list[Seen]:
    """Fill images uint8 [M, H, W, 3], with a progress bar on a terminal."""

    def fill(index: int) -> Seen:
        try:
            picture = read(photos[index])
        except Unreadable as error:
            return Seen(None, str(error))
        images[index] = picture.pixels
        return Seen(picture._replace(pixels=images[index]))  # no second copy is kept

    return in_threads(fill, range(len(photos)))


def _read_again(
    photos: Sequence[Photo], images: np.ndarray, rows: Sequence[int], read: Read
) -> None:
    """Read these images again into these rows: of more than eight bits, by the common range."""

    def fill(index: int) -> None:
        images[rows[index]] = read(photos[index]).pixels

    in_threads(fill, range(len(photos)))


def in_threads(work: Callable[[int], T], numbers: Sequence[int]) -> list[T]:
    """What `work` makes of each number, in their order, with a progress bar on a terminal."""
    with ThreadPoolExecutor() as pool:  # Pillow decodes outside Python's global lock
        found = pool.map(work, numbers)
        return list(tqdm(found, "reading", len(numbers), unit=" images", disable=None))


def _check_readable(photos: Sequence[Photo], seen: Sequence[Seen]) -> None:
    pairs = zip(photos, seen, strict=True)
    bad = [(photo.path, one.problem) for photo, one in pairs if one.problem]
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
