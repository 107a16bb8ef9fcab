"""`labelled`: your own images, one folder per class, the same classes in training and test.

Either `FOLDER/train/CLASS/*.jpg` and `FOLDER/test/CLASS/*.jpg` with the same classes, and perhaps
`FOLDER/valid/CLASS/*.jpg` with some of them (names of the folders as for `folder`); without the
last, a tenth of the training images is for validation. Or `FOLDER/CLASS/*.jpg`, of which a fifth of
each class is for test and a tenth for validation. What a seed draws is drawn from each class, and
near-duplicates are kept together.

Which files are images is as for `folder`; a class folder without any is an error here.
"""

from functools import partial
from pathlib import Path

from metalearn.data.alike import resized_groups
from metalearn.data.folder import (
    empty_classes,
    find_classes,
    find_images,
    find_own_splits,
    fingerprint,
    unread_endings,
)
from metalearn.data.images import ClassFiles, photos_of
from metalearn.data.labelled import check_classes, without_images
from metalearn.data.photographs import SIZE, read_photographs
from metalearn.data.source import Prepared, Reader, Split
from metalearn.data.splits import SPLITS
from metalearn.data.strata import ALL_THREE, HELD_OUT, divided, near_notes
from metalearn.errors import UserError

LISTED = 5  # empty classes are named, at most


def reader(seed: int = 0, image_size: int | None = None) -> Reader:
    """The reader of a folder of class folders; options as in `metalearn.data.load`."""
    size = image_size or SIZE
    return Reader(partial(read, seed=seed, size=size), (), 2, 1, partial(_identity, seed, size))


def _identity(seed: int, size: int, folder: Path) -> str:
    """`Reader.fingerprint`; without the seed where nothing is left for it to draw."""
    whole = "valid" in find_own_splits(folder)
    return fingerprint(folder, (size,) if whole else (seed, size))


def read(folder: Path, seed: int, size: int) -> Prepared:
    """`Reader.read`: classes and their images sorted by name, RGB, see `read_photographs`.

    Raises:
      UserError: images that do not decode, empty classes, fewer than two, or classes that differ
        between training and test.
    """
    found = read_photographs(photos_of(folder, find_splits(folder)), size)
    notes = [*unread_endings(folder), *found.notes]
    splits: dict[str, Split] = dict(found)
    drawn = next((name for name in ("train", "all") if name in splits), "")
    if "valid" not in splits:
        pool = splits.pop(drawn)
        groups = resized_groups(pool.images)
        shares = HELD_OUT if drawn == "train" else ALL_THREE
        splits |= divided(pool, groups, shares, seed, str(folder))
        notes += near_notes(groups)
        by_seed = True
    else:
        by_seed = False
        notes += without_images(splits["valid"])
    ordered = {split: splits[split] for split in SPLITS}
    return Prepared(ordered, notes, found.decoder, by_seed=by_seed, shared=True)


def find_splits(folder: Path) -> dict[str, ClassFiles]:
    """The images of each class of each split, or of `all` where a seed is to share them out.

    Every split has the same classes; in `valid` some may have no images.

    Raises:
      UserError: no images, empty classes, fewer than two, or other ones in training and test.
    """
    find_images(folder)  # that there is such a folder
    if empty := empty_classes(folder):
        named = ", ".join(path.relative_to(folder).as_posix() for path in empty[:LISTED])
        more = f" and {len(empty) - LISTED} more" if len(empty) > LISTED else ""
        raise UserError(
            f"{folder} has class folders without images ({named}{more}): put some there or take "
            "them out"
        )
    own = find_own_splits(folder)
    if not own:
        classes = find_classes(folder)
        check_classes(str(folder), {"train": classes})
        return {"all": classes}
    if missing := [split for split in ("train", "test") if split not in own]:
        raise UserError(
            f"{folder} has {', '.join(own)} but no {missing[0]} with class folders: add it, or "
            f"put all class folders into {folder} itself to have their images split"
        )
    check_classes(str(folder), own)
    return {
        split: {name: own[split].get(name, []) for name in own["train"]}
        for split in SPLITS
        if split in own
    }
