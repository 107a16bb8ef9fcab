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
from collections.abc import Iterator
from functools import partial
from itertools import combinations
from pathlib import Path
from unicodedata import category

from metalearn.data.decode import readable
from metalearn.data.download import hash_of, identities
from metalearn.data.images import ClassFiles, read_splits
from metalearn.data.shares import shared_out
from metalearn.data.source import Prepared, Reader
from metalearn.data.splits import SPLITS
from metalearn.errors import UserError

ENDINGS = readable()
# Extensions of files that are passed over without a note
SILENT = frozenset(("", *".csv .db .html .ini .json .md .txt .xml .yaml .yml".split()))
UNPRINTABLE = frozenset(("Cc", "Cs", "Zl", "Zp"))  # Unicode's controls, surrogates, ends of lines
# Folders that an operating system makes on a disk, most often for itself alone
SYSTEM = frozenset(
    ("lost+found", "System Volume Information", "$RECYCLE.BIN", "#recycle", "@eaDir")
)
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
    identity = partial(fingerprint, options=(seed, size))
    return Reader(partial(read, seed=seed, size=size), (), 2, 1, identity)


def read(folder: Path, seed: int, size: int) -> Prepared:
    """`Reader.read`: classes and their images sorted by name, images RGB `size` x `size`.

    Raises:
      UserError: an image that does not decode, fewer than three classes, a class in two splits.
    """
    found = read_splits(folder, find_splits(folder, seed), size)
    notes = [*unread_endings(folder), *found.notes]
    return Prepared(found, notes, found.decoder, by_seed=not find_own_splits(folder))


def fingerprint(folder: Path, options: tuple[int, ...]) -> str:
    """Names, sizes and times of the images below `folder`, hashed together with `options`.

    Raises:
      UserError: no such folder, or a file that cannot be read.
    """
    return hash_of(options, identities(folder, find_images(folder)))


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

    Raises:
      UserError: a folder that cannot be read, or one that links to a folder around it.
    """
    found = {path.name: find_images(path, endings) for path in folders_in(folder)}
    return {name: images for name, images in found.items() if images}


def empty_classes(folder: Path) -> list[Path]:
    """The visible folders in `folder`, or in its folders of splits, that hold no image."""
    splits = [path for path in folders_in(folder) if path.name.lower() in NAMES]
    own = [path for path in splits if find_classes(path)]
    classes = [path for split in own or [folder] for path in folders_in(split)]
    return [path for path in classes if not find_images(path)]


def folders_in(folder: Path) -> list[Path]:
    """The visible folders in `folder`, sorted; [] without `folder`.

    Raises:
      UserError: it cannot be read.
    """
    paths = _entries(folder) if folder.is_dir() else []
    return [path for path in paths if os.path.isdir(path)]


def find_images(folder: Path, endings: frozenset[str] = ENDINGS) -> list[Path]:
    """All files below `folder` with these endings, sorted; links to folders are followed.

    Raises:
      UserError: no such folder, one that cannot be read, or one that links to a folder around it.
    """
    return sorted(path for path in _files(folder) if path.suffix.lower() in endings)


def unread_endings(folder: Path, endings: frozenset[str] = ENDINGS) -> list[str]:
    """A note on files below `folder` that are not read but may be images; [] without any.

    Raises:
      UserError: no such folder, one that cannot be read, or one that links to a folder around it.
    """
    counts = Counter(path.suffix.lower() for path in _files(folder))
    passed = sorted(counts.keys() - endings - SILENT)
    if not passed:
        return []
    counted = ", ".join(f"{counts[ending]} {ending}" for ending in passed)
    hint = " (pillow-heif reads HEIC: install it)" if {".heic", ".heif"} & set(passed) else ""
    return [f"note: passed over files that are not read as images: {counted}{hint}"]


def _files(folder: Path) -> Iterator[Path]:
    """All visible files below `folder`; those of a folder that several links lead to, once.

    A link to a folder around it is found where it is met, by what the file system calls the
    folders on the way, and before all that lies in that folder is walked.

    Raises:
      UserError: no such folder, one that cannot be read, or one that links to a folder around it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: pass the folder of your images as --data_dir.")
    waiting = [(folder, _around(folder))]
    entered = set()
    while waiting:
        here, around = waiting.pop()
        identity = _identity(here)
        if identity in around:
            where = printable(str(here))
            raise UserError(f"{where} is nested too deeply: it links to a folder around it.")
        if identity in entered:
            continue
        entered.add(identity)
        for path in _entries(here):
            if os.path.isdir(path):
                waiting.append((path, around | {identity}))
            else:
                yield path


def _around(folder: Path) -> frozenset[tuple[int, int]]:
    """The folders that a folder is in, and those that the link is in if it is one."""
    places = [folder.resolve()]
    if ".." not in folder.parts:
        link = folder.absolute()
        places.append(link.parent.resolve() / link.name)
    return frozenset(_identity(parent) for place in places for parent in place.parents)


def _identity(folder: Path) -> tuple[int, int]:
    """What tells a folder from all others, by whatever path it is reached."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _entries(folder: Path) -> list[Path]:
    """The visible files and folders in `folder`, sorted.

    Raises:
      UserError: it cannot be read.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise UserError(
            f"{printable(str(folder))} cannot be read ({error.strerror}): make it readable or take "
            "it out."
        ) from error
    return [folder / name for name in names if name[0] != "." and name not in SYSTEM]


def printable(text: str) -> str:
    """The text with escapes for what cannot be printed in a line or stored: controls, surrogates.

    Python has surrogates for the bytes of a file's name that are not UTF-8.
    """
    return "".join(
        each.encode("unicode_escape").decode() if category(each) in UNPRINTABLE else each
        for each in text
    )
