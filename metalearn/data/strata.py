"""How a seed shares out the images of each class to training, validation and test."""

from collections.abc import Mapping, Sequence

import numpy as np

from metalearn.data.source import Split
from metalearn.errors import UserError

VALID = 0.10  # of the training images of a class, where no validation split is published
TEST = 0.20  # of the images of a class, where no split at all is published
HELD_OUT = {"valid": VALID}
ALL_THREE = {"test": TEST, "valid": VALID}


def divided(
    split: Split, groups: np.ndarray, shares: Mapping[str, float], seed: int, where: str
) -> dict[str, Split]:
    """The split in parts that have all its classes, see `divided_rows`.

    Args:
      split: to be divided.
      groups, shares, seed, where: as of `divided_rows`.

    Raises:
      UserError: as `divided_rows`.
    """
    labels = np.repeat(np.arange(len(split.counts)), split.counts)
    found = {}
    for name, rows in divided_rows(split, groups, shares, seed, where).items():
        counts = np.bincount(labels[rows], minlength=len(split.counts)).astype(np.int32)
        found[name] = Split(split.images[rows], counts, split.names)
    return found


def divided_rows(
    split: Split, groups: np.ndarray, shares: Mapping[str, float], seed: int, where: str
) -> dict[str, np.ndarray]:
    """Positions of the images of each part; images that show the same are in one part.

    Every part has all classes.

    Args:
      split: to be divided.
      groups: int [M], of its images that show the same.
      shares: of the parts, of each class; the rest is `train`.
      seed: draws the images.
      where: the dataset, for messages.

    Raises:
      UserError: a class has too few different images to be in every part.
    """
    labels = np.repeat(np.arange(len(split.counts)), split.counts)
    parts = drawn_parts(labels, groups, list(shares.values()), seed)
    found = {}
    for number, name in enumerate(["train", *shares]):
        rows = np.flatnonzero(parts == number)
        counts = np.bincount(labels[rows], minlength=len(split.counts)).astype(np.int32)
        for label in np.flatnonzero((counts == 0) & (split.counts > 0))[:1]:
            raise UserError(
                f"{where}: {split.counts[label]} images of class {split.names[label]!r} cannot be "
                f"shared out to {', '.join(['train', *shares])}: "
                f"{_different(groups, labels == label)}; have more of them"
            )
        found[name] = rows
    return found


def _different(groups: np.ndarray, mine: np.ndarray) -> str:
    """How many images of a class, of those for which `mine` is true, show something different."""
    own = set(groups[mine].tolist())
    others = len(own & set(groups[~mine].tolist()))
    told = f"they show {len(own)} different things"
    return f"{told}, {others} of which images of other classes show too" if others else told


def drawn_parts(
    labels: np.ndarray, groups: np.ndarray, shares: Sequence[float], seed: int
) -> np.ndarray:
    """int [M]: the part of each image, 0 for the rest and from 1 for the shares.

    Each class gives its share to every part, as nearly as whole groups allow and at least one
    group, as long as it has any. A group of several classes counts for the class of its first
    image.

    Args:
      labels: int [M], classes.
      groups: int [M], of images that stay together.
      shares: of each class, for the parts from 1.
      seed: of the draw.
    """
    random = np.random.default_rng(seed)
    parts = np.zeros(len(labels), np.int64)
    order = np.argsort(groups, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    homes = np.array([labels[rows[0]] for rows in members])
    for label in np.unique(labels):
        mine = random.permutation(np.flatnonzero(homes == label))
        free = [members[group] for group in mine]
        for part, share in enumerate(shares, 1):
            wanted = max(1, round(share * int((labels == label).sum())))
            wanted -= int(((labels == label) & (parts == part)).sum())  # in groups of other classes
            sizes = [int((labels[rows] == label).sum()) for rows in free]
            taken = _taken(sizes, wanted, len(shares) - part + 1)
            for number in taken:
                parts[free[number]] = part
            free = [rows for number, rows in enumerate(free) if number not in taken]
    return parts


def _taken(sizes: Sequence[int], wanted: int, left: int) -> set[int]:
    """The groups to take for so many images: the first ones that fit, else the smallest one.

    So many groups are left.
    """
    taken: set[int] = set()
    for number, size in enumerate(sizes):
        if size <= wanted and len(sizes) - len(taken) > left:
            taken.add(number)
            wanted -= size
    if not taken and wanted > 0 and len(sizes) > left:
        taken.add(int(np.argmin(sizes)))
    return taken


def near_notes(groups: np.ndarray) -> list[str]:
    """A note on the near-duplicates that are kept together; [] where there are none."""
    sizes = np.bincount(groups)
    several = sizes[sizes > 1]
    if not len(several):
        return []
    what = f"{several.sum()} of {len(groups)} images are near-duplicates of others"
    return [f"note: {what}: each of their {len(several)} groups is kept in one split"]
