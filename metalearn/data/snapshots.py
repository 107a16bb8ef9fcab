"""A person's own photographs: found in folders, read whatever they are, and what is odd about them.

`find_labelled` takes `FOLDER/CLASS/*.jpg`, a few photographs of each thing, at any depth below a
class folder. A file that looks like an image and is none is a `Refused`, with the reason in a line:
the others are read all the same. Files of other endings are passed over with a note, `notes_on`.
"""

import hashlib
import io
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from metalearn.data.decode import PICTURES, Unreadable
from metalearn.data.folder import find_classes, find_images, folders_in, unread_endings
from metalearn.data.images import in_threads
from metalearn.data.photo_file import Photograph, contents, decoded, in_memory
from metalearn.data.quality import doubts
from metalearn.data.tree import label_of, printable
from metalearn.errors import UserError

THUMBNAIL = 48  # pixels a side
MOST = 800  # bytes of a thumbnail
QUALITIES = (50, 25, 10, 0)  # of WebP, tried until a thumbnail has few enough bytes


class Snapshot(NamedTuple):
    """A photograph as a network sees it.

    Attributes:
      name: path below the folder it was found in, with slashes, or the file's name; printable.
      path: of the file; of a photograph in memory, its name.
      pixels: uint8 [size, size, 3], the central square, upright, opaque.
      digest: SHA-256 of the file's bytes, hexadecimal; where there is no file, of `pixels`.
      thumbnail: WebP of 48 x 48 pixels, less than 1 kB.
      doubts: why it may be a poor example, in words; () usually.
    """

    name: str
    path: Path
    pixels: np.ndarray
    digest: str
    thumbnail: bytes
    doubts: tuple[str, ...]


class Refused(NamedTuple):
    """A file that is not read, and why, in one line."""

    path: Path
    why: str


def find_labelled(folder: Path) -> dict[str, list[Path]]:
    """The photographs of each class folder, both sorted; names are printable and composed (NFC).

    Raises:
      UserError: no such folder, no class folder with a photograph, a folder that cannot be read or
        links to one around it, or two class folders of one name.
    """
    where = printable(str(folder))
    if not os.path.isdir(folder):
        raise UserError(f"there is no folder {where}: give one with a folder for each class.")
    found = find_classes(folder, PICTURES)
    if not found:
        raise UserError(
            f"{where} has no class folder with a photo: put the photos of each thing into a "
            "folder of its own, named like the thing."
        )
    return dict(sorted(found.items()))


def notes_on(folder: Path) -> list[str]:
    """Notes on what `find_labelled` passes over below a folder, and on names that differ in case.

    Raises:
      UserError: as `find_labelled` does.
    """
    found = find_labelled(folder)
    lines = [printable(line) for line in unread_endings(folder, PICTURES)]
    loose = [path for path in folder.iterdir() if _is_photo(path)]
    if loose:
        lines.append(f"note: passed over photos in no class folder: {len(loose)}")
    labels = [label_of(path.name) for path in folders_in(folder)]
    if empty := [label for label in labels if label not in found]:
        lines.append(f"note: passed over folders without a photo: {', '.join(empty)}")
    cases = defaultdict(list)
    for label in found:
        cases[label.casefold()].append(label)
    for alike in cases.values():
        if len(alike) > 1:
            lines.append(f"note: {' and '.join(alike)} are different classes")
    return lines


def _is_photo(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return not hidden and path.suffix.lower() in PICTURES and not os.path.isdir(path)


def find_photos(place: Path) -> list[Path]:
    """The file given, whatever its ending, or all photographs below the folder given, sorted.

    Raises:
      UserError: no such file or folder, no photograph in it, or one that cannot be read or links
        to one around it.
    """
    where = printable(str(place))
    if not os.path.isdir(place):
        if not os.path.lexists(place):
            raise UserError(f"there is no file or folder {where}")
        return [place]
    found = find_images(place, PICTURES)
    if not found:
        raise UserError(f"{where} has no photo: none of its files ends like one, as in .jpg")
    return found


def read_snapshots(
    paths: Sequence[Path], size: int, root: Path | None = None
) -> tuple[list[Snapshot], list[Refused]]:
    """The photographs of these files, and the files that cannot be read, each in their order.

    With a progress bar on a terminal; arguments as of `read_snapshot`.
    """

    def read(index: int) -> Snapshot | Refused:
        try:
            return read_snapshot(paths[index], size, root)
        except Unreadable as error:
            return Refused(paths[index], str(error))

    found = in_threads(read, range(len(paths)))
    read_ones = [one for one in found if isinstance(one, Snapshot)]
    return read_ones, [one for one in found if isinstance(one, Refused)]


def named_apart(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """Those that share a name named by their paths, as they were given."""
    numbers = Counter(one.name for one in snapshots)
    return [
        one if numbers[one.name] == 1 else one._replace(name=printable(str(one.path)))
        for one in snapshots
    ]


def read_snapshot(path: Path, size: int, root: Path | None = None) -> Snapshot:
    """The photograph of a file, of `size` x `size` pixels; named by its path below `root`.

    Raises:
      Unreadable: it is no regular file, or does not decode.
    """
    below = root is not None and path.is_relative_to(root)
    name = path.relative_to(root).as_posix() if root is not None and below else path.name
    data = contents(path)
    return _snapshot(decoded(data, size), hashlib.sha256(data).hexdigest(), name, path)


def from_bytes(data: bytes, size: int, name: str = "photo") -> Snapshot:
    """The photograph in the bytes of an image file.

    Raises:
      Unreadable: they do not decode.
    """
    return _snapshot(decoded(data, size), hashlib.sha256(data).hexdigest(), name, Path(name))


def from_pixels(image: np.ndarray | Image.Image, size: int, name: str = "photo") -> Snapshot:
    """The photograph in memory: uint8 [H, W, 1, 3 or 4], or an image of Pillow's.

    Raises:
      UserError: an array of another type or shape.
      Unreadable: an image that was opened, but does not decode.
    """
    photo = in_memory(image, size)
    digest = hashlib.sha256(photo.picture.pixels.tobytes()).hexdigest()
    return _snapshot(photo, digest, name, Path(name))


def _snapshot(photo: Photograph, digest: str, name: str, path: Path) -> Snapshot:
    pixels = photo.picture.pixels
    doubtful = doubts(pixels, photo.width, photo.height)
    return Snapshot(printable(name), path, pixels, digest, _thumbnail(pixels), doubtful)


def _thumbnail(pixels: np.ndarray) -> bytes:
    small = Image.fromarray(pixels).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC)
    for quality in QUALITIES:
        file = io.BytesIO()
        small.save(file, "WEBP", quality=quality)
        if file.tell() <= MOST:
            break
    return file.getvalue()


def duplicates_across(classes: Mapping[str, Sequence[Snapshot]]) -> list[str]:
    """Warnings of photographs that are in several classes, equal or nearly; and a note on others.

    A line for each group of such photographs; one line for all that a class has more than once.
    """
    from metalearn.data.alike import groups_of  # it imports SciPy

    shots = [(label, shot) for label, some in classes.items() for shot in some]
    if not shots:
        return []
    groups: dict[int, list[tuple[str, Snapshot]]] = defaultdict(list)
    numbers = groups_of(np.stack([shot.pixels for _, shot in shots]), near=True)
    for number, pair in zip(numbers.tolist(), shots, strict=True):
        groups[number].append(pair)
    lines = []
    again: Counter[str] = Counter()
    for group in groups.values():
        firsts: dict[str, Snapshot] = {}
        for label, shot in group:
            firsts.setdefault(label, shot)
        if len(firsts) > 1:
            lines.append(_in_several(firsts))
        again.update(label for label, shot in group if firsts[label] is not shot)
    if again:
        counts = ", ".join(f"{count} in {label}" for label, count in again.items())
        lines.append(f"note: photos that show the same as another of their class: {counts}")
    return lines


def _in_several(firsts: Mapping[str, Snapshot]) -> str:
    """The warning of a photograph in several classes, given the first of each."""
    shots = list(firsts.values())
    equal = all((shot.pixels == shots[0].pixels).all() for shot in shots)
    named = " and ".join(f"{shot.name} ({label})" for label, shot in firsts.items())
    how = "the same photo" if equal else "nearly the same photo"
    return f"warning: {how} in {len(shots)} classes: {named}"
