"""`folder`: your own images, one folder per class.

Either `FOLDER/CLASS/*.jpg`, and the classes are split by a seed, 64 % for training, 16 % for
validation and 20 % for test (at least two each, of six or more); or `FOLDER/train/CLASS/*.jpg`,
`FOLDER/valid/...` and `FOLDER/test/...` (or another of `NAMES`, in whatever case), where no class
may be in two of them: a test class has to be new.

Images may be at any depth below a class folder. Files and folders whose names begin with a dot are
passed over, and so are folders without any image. Files whose extensions are not in `ENDINGS` are
passed over with a note. An image that does not decode is an error, never skipped.
"""

import os
from collections import Counter
from functools import partial
from itertools import combinations
from pathlib import Path

from metalearn.data.decode import readable
from metalearn.data.download import hash_of, identities
from metalearn.data.images import ClassFiles, read_splits
from metalearn.data.shares import shared_out
from metalearn.data.source import Prepared, Reader
from metalearn.data.splits import SPLITS
from metalearn.data.tree import entries, files_below, label_of, printable
from metalearn.errors import UserError

ENDINGS = readable()
# Extensions of files that are passed over without a note
SILENT = frozenset(("", *".csv .db .html .ini .json .md .txt .xml .yaml .yml".split()))
SIZE = 84  # pixels
NAMES = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "test": "test",
    "testing": "test",
}


def reader(seed: int = 0, image_size: int | None = None) -> Reader:
    """The reader of a folder of class folders; options as in `metalearn.data.load`."""
    size = image_size or SIZE
    return Reader(partial(read, seed=seed, size=size), (), 3, 1, partial(_identity, seed, size))


def _identity(seed: int, size: int, folder: Path) -> str:
    """`Reader.fingerprint`; of folders of splits without the seed, which decides nothing there."""
    return fingerprint(folder, (size,) if find_own_splits(folder) else (seed, size))


def read(folder: Path, seed: int, size: int) -> Prepared:
    """`Reader.read`: classes and their images sorted by name, images RGB `size` x `size`.

    Raises:
      UserError: an image that does not decode, fewer than three classes, a class in two splits.
    """
    found = read_splits(folder, find_splits(folder, seed), size)
    notes = [*unread_endings(folder), *found.notes]
    return Prepared(found, notes, found.decoder, by_seed=not find_own_splits(folder))


def fingerprint(folder: Path, options: tuple[int, ...]) -> str:
    """What decides the dataset and what is told of it, hashed together with `options`.

    That is the folder, names, sizes and times of the images below it, the class folders, and how
    many files of other endings are passed over.

    Raises:
      UserError: no such folder, or a file that cannot be read.
    """
    images = identities(folder, find_images(folder))
    classes = [path.relative_to(folder).as_posix() for path in _class_folders(folder)]
    return hash_of(options, str(folder.resolve()), images, classes, unread_endings(folder))


def find_splits(folder: Path, seed: int) -> dict[str, ClassFiles]:
    """The images of each class of each split; see the module's docstring for the layouts.

    Raises:
      UserError: too few classes, a split without a folder, or a class in two splits.
    """
    found = find_own_splits(folder)
    if not found:
        return _split_by_seed(folder, find_classes(folder), seed)
    if missing := [split for split in SPLITS if split not in found]:
        raise UserError(
            f"{folder} has {', '.join(found)} but no {missing[0]} with class folders: add it, or "
            f"put all class folders into {folder} itself to have them split."
        )
    for one, other in combinations(SPLITS, 2):
        if shared := sorted(found[one].keys() & found[other].keys()):
            raise UserError(
                f"{folder}: class {shared[0]!r} is in {one} and in {other}; keep it in one of them "
                "only."
            )
    return {split: found[split] for split in SPLITS}


def find_own_splits(folder: Path) -> dict[str, ClassFiles]:
    """The classes in folders that are named like splits; folders of one split are merged."""
    found: dict[str, ClassFiles] = {}
    for path in folders_in(folder):
        split = NAMES.get(path.name.lower(), "")
        for label, images in (find_classes(path) if split else {}).items():
            found.setdefault(split, {}).setdefault(label, []).extend(images)
    return {split: dict(sorted(classes.items())) for split, classes in found.items()}


def _split_by_seed(folder: Path, classes: ClassFiles, seed: int) -> dict[str, ClassFiles]:
    if len(classes) < 3:
        raise UserError(
            f"{folder} has {len(classes)} class folders with images; it takes 6 or more, as "
            "FOLDER/CLASS/image.jpg, to have two classes each for training, validation and test."
        )
    parts = shared_out(sorted(classes), seed)
    return {split: {name: classes[name] for name in names} for split, names in parts.items()}


def find_classes(folder: Path, endings: frozenset[str] = ENDINGS) -> ClassFiles:
    """The visible folders in `folder` with at least one image, and those; {} without `folder`.

    Names are printable and composed, see `label_of`.

    Raises:
      UserError: a folder that cannot be read, one that links to a folder around it, or two of one
        name.
    """
    found: ClassFiles = {}
    for path in folders_in(folder):
        images = find_images(path, endings)
        label = label_of(path.name)
        if images and label in found:
            raise UserError(
                f"{printable(str(folder))} has two folders named {label!r}, which differ in spaces "
                "or in Unicode: rename one, or put their photos together."
            )
        if images:
            found[label] = images
    return found


def empty_classes(folder: Path) -> list[Path]:
    """The visible folders in `folder`, or in its folders of splits, that hold no image."""
    return [path for path in _class_folders(folder) if not find_images(path)]


def _class_folders(folder: Path) -> list[Path]:
    """The visible folders in `folder`, or in its folders of splits."""
    splits = [path for path in folders_in(folder) if path.name.lower() in NAMES]
    own = [path for path in splits if find_classes(path)]
    return [path for split in own or [folder] for path in folders_in(split)]


def folders_in(folder: Path) -> list[Path]:
    """The visible folders in `folder`, sorted; [] without `folder`.

    Raises:
      UserError: it cannot be read.
    """
    paths = entries(folder) if folder.is_dir() else []
    return [path for path in paths if os.path.isdir(path)]


def find_images(folder: Path, endings: frozenset[str] = ENDINGS) -> list[Path]:
    """All files below `folder` with these endings, sorted; links to folders are followed.

    Raises:
      UserError: no such folder, one that cannot be read, or one that links to a folder around it.
    """
    return sorted(path for path in files_below(folder) if path.suffix.lower() in endings)


def unread_endings(folder: Path, endings: frozenset[str] = ENDINGS) -> list[str]:
    """A note on files below `folder` that are not read but may be images; [] without any.

    Raises:
      UserError: no such folder, one that cannot be read, or one that links to a folder around it.
    """
    counts = Counter(path.suffix.lower() for path in files_below(folder))
    passed = sorted(counts.keys() - endings - SILENT)
    if not passed:
        return []
    counted = ", ".join(f"{counts[ending]} {ending}" for ending in passed)
    hint = " (pillow-heif reads HEIC: install it)" if {".heic", ".heif"} & set(passed) else ""
    return [f"note: passed over files that are not read as images: {counted}{hint}"]
