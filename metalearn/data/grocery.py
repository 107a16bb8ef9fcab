"""Grocery Store Dataset: photographs of 81 kinds of fruit, vegetables and cartons, in a shop.

Klasson, Zhang & Kjellstrom (2019), A hierarchical grocery store image dataset with visual and
semantic labels, WACV; MIT licence. 5,421 photographs taken with a telephone: 2,640 for training,
296 for validation (of 60 of the classes) and 2,485 for test, as published; and an iconic picture of
each product. `grocery` is the photographs; `grocery_iconic` trains on the iconic pictures, one a
class, and validates and tests on the photographs.

The archive is read as it is: `grocery-store-224.zip` (`train/CLASS/*.jpg`, `val`, `test`,
`iconic`), or what GitHub gives of the authors' repository, whose class folders lie deeper.
"""

from functools import partial
from pathlib import Path, PurePosixPath

from metalearn.data.archive import damaged, read_zip
from metalearn.data.download import hash_of, identities
from metalearn.data.images import Photo, Photos
from metalearn.data.labelled import check_classes, without_images
from metalearn.data.photographs import SIZE, read_photographs
from metalearn.data.source import Prepared, Reader
from metalearn.data.splits import SPLITS
from metalearn.errors import UserError

ARCHIVES = ("grocery-store-224.zip", "GroceryStoreDataset-master.zip")
URL = "https://github.com/marcusklasson/GroceryStoreDataset/archive/refs/heads/master.zip"
FOLDERS = {
    "train": "train",
    "val": "valid",
    "test": "test",
    "iconic": "iconic",
    "iconic-images-and-descriptions": "iconic",
}
COUNTS = {"train": 2640, "valid": 296, "test": 2485, "iconic": 81}  # images
CLASSES = 81


def read(
    folder: Path,
    size: int,
    train: str = "train",
    counts: dict[str, int] = COUNTS,
) -> Prepared:
    """`Reader.read`: classes and their images sorted by name, RGB, see `read_photographs`.

    Args:
      folder: that the archive is in.
      size: of the images, in pixels.
      train: what to train on, `train` or `iconic`.
      counts: images of each part, by which the archive is verified.

    Raises:
      UserError: a damaged archive, or images that do not decode.
    """
    path = archive_in(folder)
    parts = read_archive(path)
    found = {part: sum(map(len, classes.values())) for part, classes in parts.items()}
    if found != counts:
        said = ", ".join(f"{found.get(part, 0)} of {counts[part]} in {part}" for part in counts)
        raise damaged(path, f"images: {said}")
    chosen = {"train": parts[train], "valid": parts["valid"], "test": parts["test"]}
    check_classes(str(path), chosen)
    names = sorted(chosen["train"])
    same = {split: {name: chosen[split].get(name, []) for name in names} for split in SPLITS}
    made = read_photographs(same, size)
    notes = [*made.notes, *without_images(made["valid"])]
    return Prepared(made, notes, made.decoder, shared=True)


def read_archive(path: Path) -> dict[str, Photos]:
    """The image files of each class of `train`, `valid`, `test` and `iconic`, in memory.

    Raises:
      UserError: a damaged archive.
    """
    parts: dict[str, Photos] = {part: {} for part in COUNTS}
    for name, data in read_zip(path, ".jpg"):
        places = PurePosixPath(name).parts
        part = next((FOLDERS[place] for place in places[:-2] if place in FOLDERS), None)
        if part is None or (part == "iconic" and not name.lower().endswith("iconic.jpg")):
            continue
        photo = Photo(name, path / name, data)
        parts[part].setdefault(places[-2], []).append(photo)
    return parts


def archive_in(folder: Path) -> Path:
    """The first of `ARCHIVES` that is in the folder.

    Raises:
      UserError: there is none.
    """
    for name in ARCHIVES:
        if (folder / name).is_file():
            return folder / name
    raise UserError(
        f"neither {' nor '.join(ARCHIVES)} is in {folder}: get {URL} and put it there as "
        f"{ARCHIVES[-1]}"
    )


def fingerprint(folder: Path, size: int) -> str:
    """Name, size and time of the archive, hashed together with the size of the images.

    Raises:
      UserError: there is none.
    """
    return hash_of(size, identities(folder, [archive_in(folder)]))


def _reader(train: str, seed: int = 0, image_size: int | None = None) -> Reader:
    """The reader of the photographs; the split is published, so no seed matters."""
    size = image_size or SIZE
    return Reader(partial(read, size=size, train=train), (), 1, 1, partial(fingerprint, size=size))


grocery = partial(_reader, "train")
grocery_iconic = partial(_reader, "iconic")
