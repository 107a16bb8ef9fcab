"""miniImageNet: 100 classes of ImageNet, 600 images each, 84x84 RGB, split 64/16/20.

Vinyals et al. (2016, https://arxiv.org/abs/1606.04080), in the split of Ravi & Larochelle (2017,
https://openreview.net/forum?id=rJY0-Kcll).

ImageNet's terms forbid passing its images on, so you bring the folder: all images in it or in its
`images/`, named `n0153282900000005.jpg`, or class folders `n01532829/*.JPEG`, at any depth. If
`train.csv`, `val.csv` and `test.csv` (columns `filename,label`) are in the folder, they choose the
images; without them, all images of the 100 classes are taken. What is an image, and how it is
decoded, is as in `metalearn.data.folder`.
"""

import csv
import re
from functools import partial
from pathlib import Path

from metalearn.data.download import hash_of, identities
from metalearn.data.folder import SIZE, find_images, unread_endings
from metalearn.data.images import ClassFiles, read_splits
from metalearn.data.source import Prepared, Reader
from metalearn.data.splits import load_split
from metalearn.errors import UserError

IMAGES = 600  # of each class
CSV = {"train": "train.csv", "valid": "val.csv", "test": "test.csv"}


def reader(seed: int = 0, image_size: int | None = None) -> Reader:
    """The reader of miniImageNet at `image_size` pixels; nothing depends on `seed`."""
    size = image_size or SIZE
    return Reader(partial(read, size=size), (), 1, 1, partial(fingerprint, size=size))


def read(folder: Path, size: int) -> Prepared:
    """`Reader.read`: classes sorted by WordNet identifier.

    Raises:
      UserError: a class or a listed image is missing, a list is malformed, an image does not
        decode.
    """
    splits = find_splits(folder)
    found = read_splits(folder, splits, size)
    notes = [*unread_endings(folder), *_count_notes(splits), *found.notes]
    return Prepared(found, notes, found.decoder)


def _count_notes(splits: dict[str, ClassFiles]) -> list[str]:
    """A warning where classes have more or fewer images than are published."""
    counts = {name: len(files) for classes in splits.values() for name, files in classes.items()}
    other = [name for name, count in counts.items() if count != IMAGES]
    if not other:
        return []
    return [
        f"warning: {len(other)} of {len(counts)} classes have not {IMAGES} images, as published, "
        f"such as {other[0]} with {counts[other[0]]}: accuracies compare with no other's"
    ]


def fingerprint(folder: Path, size: int) -> str:
    """The images' identity, and that of the three lists; what is passed over, as for a folder.

    Raises:
      UserError: no such folder, or a file that cannot be read.
    """
    lists = [folder / name for name in CSV.values() if (folder / name).is_file()]
    files = identities(folder, find_images(folder) + lists)
    return hash_of(size, str(folder.resolve()), files, unread_endings(folder))


def find_splits(folder: Path) -> dict[str, ClassFiles]:
    """The images of each class of each split.

    Raises:
      UserError: no images, some lists but not all, a class or a listed image that is missing.
    """
    images = find_images(folder)
    if not images:
        raise UserError(
            f"{folder} has no images: miniImageNet cannot be downloaded for you (ImageNet's "
            "terms), put its images there, as images/n0153282900000005.jpg or n01532829/*.JPEG."
        )
    present = [name for name in CSV.values() if (folder / name).is_file()]
    if present and len(present) < len(CSV):
        absent = next(name for name in CSV.values() if name not in present)
        raise UserError(
            f"{folder} has {present[0]} but no {absent}: add it, or take all lists out."
        )
    found = {}
    listed: set[Path] = set()
    for split, names in load_split("mini_imagenet").items():
        classes = _listed(folder, CSV[split], images, listed) if present else _by_class(images)
        found[split] = _choose(folder, classes, names, CSV[split] if present else None)
    return found


def _choose(folder: Path, classes: ClassFiles, names: list[str], listed: str | None) -> ClassFiles:
    """The classes of one split, sorted; a list, where there is one, holds no others."""
    where = folder / listed if listed else folder
    if missing := sorted(set(names) - classes.keys()):
        raise UserError(
            f"{where} has no image of class {missing[0]} ({len(missing)} of {len(names)} classes "
            "missing)."
        )
    if listed and (foreign := sorted(classes.keys() - set(names))):
        raise UserError(
            f"{where} lists class {foreign[0]}, which is not of this split of Ravi & Larochelle "
            "(2017)."
        )
    return {name: sorted(classes[name]) for name in sorted(names)}


def _by_class(images: list[Path]) -> ClassFiles:
    """Images by WordNet identifier: what the file's name begins with, or else the folder's name.

    Raises:
      UserError: two images of a class have the same name: one picture, twice, could be both support
        and query.
    """
    classes: dict[str, dict[str, Path]] = {}
    for path in images:
        if match := re.match(r"n\d{8}", path.name) or re.fullmatch(r"n\d{8}", path.parent.name):
            first = classes.setdefault(match[0], {}).setdefault(path.name, path)
            if first is not path:
                raise UserError(
                    f"{first} and {path} have the same name: keep one of them, or give the folder "
                    "with one copy of each image as --data_dir."
                )
    return {name: list(files.values()) for name, files in classes.items()}


def _listed(folder: Path, name: str, images: list[Path], listed: set[Path]) -> ClassFiles:
    """The images that the list `folder/name` names, by label, in any of the known layouts.

    They are added to `listed`, which has those of other lists.

    Raises:
      UserError: no such columns, a file that is missing or listed twice.
    """
    known = set(images)
    classes: ClassFiles = {}
    try:
        with open(folder / name, newline="", encoding="utf-8-sig") as stream:
            rows = [(row["filename"] or "", row["label"] or "") for row in csv.DictReader(stream)]
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{folder / name} is not a list with the columns filename,label: {error!r}."
        ) from error
    for filename, label in rows:
        places = (folder, folder / "images", folder / label, folder / "images" / label)
        path = next((place / filename for place in places if place / filename in known), None)
        if path is None:
            raise UserError(
                f"{folder / name} lists {filename!r}, which is not there: add it or correct the "
                "list."
            )
        if path in listed:
            raise UserError(f"{folder / name} lists {filename!r} twice: correct the list.")
        listed.add(path)
        classes.setdefault(label, []).append(path)
    return classes
