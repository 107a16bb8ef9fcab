"""Image sets whose classes are the same in training, validation and test.

What their readers share: images sorted by class, facts by which a published set is verified, and a
validation split drawn from training where none is published.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metalearn.data.alike import groups_of
from metalearn.data.archive import damaged
from metalearn.data.cache import pixel_moments
from metalearn.data.source import Prepared, Split
from metalearn.data.splits import SPLITS
from metalearn.data.strata import HELD_OUT, divided
from metalearn.errors import UserError

SEED = 0  # of every validation split that is drawn from a published training split
TOLERANCE = 1e-4  # of the moments
Moments = tuple[tuple[float, ...], tuple[float, ...]]


class Facts(NamedTuple):
    """What must hold of a published set, by which it is verified.

    Attributes:
      train: training images of each class.
      test: test images of each class.
      moments: mean and standard deviation of the training pixels / 255, by channel; None for any.
    """

    train: tuple[int, ...]
    test: tuple[int, ...]
    moments: Moments | None


def by_class(images: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> Split:
    """Images uint8 [M, H, W, Ch] sorted by their labels int [M].

    Those of a class are sorted by their bytes, so that positions in a split, and what a seed draws
    from it, do not depend on the order of an archive.
    """
    keys = [(label, image.tobytes()) for label, image in zip(labels.tolist(), images, strict=True)]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    counts = np.bincount(labels, minlength=len(names)).astype(np.int32)
    return Split(images[order], counts, tuple(names))


def published(path: Path, train: Split, test: Split, facts: Facts) -> Prepared:
    """The splits of a set that publishes training and test images, verified.

    A tenth of the training images of each class, drawn by `SEED`, is the validation split; of those
    that are equal in every pixel all or none are.

    Args:
      path: of the file, for messages.
      train: all training images.
      test: all test images.
      facts: that must hold.

    Raises:
      UserError: counts or pixel statistics other than those of the published set.
    """
    for name, split, known in (("train", train, facts.train), ("test", test, facts.test)):
        if tuple(split.counts.tolist()) != known:
            count, right = next(
                pair for pair in zip(split.counts, known, strict=True) if pair[0] != pair[1]
            )
            raise damaged(path, f"{name} has {count} images of a class, not {right}")
    check_moments(path, train.images, facts.moments)
    parts = divided(train, groups_of(train.images, near=False), HELD_OUT, SEED, str(path))
    return Prepared({**parts, "test": test}, shared=True)


def check_moments(path: Path, images: np.ndarray, moments: Moments | None) -> None:
    """Compare the moments of images uint8 [M, H, W, Ch] with the known ones.

    Raises:
      UserError: they differ.
    """
    if moments is None:
        return
    mean, std = pixel_moments(images)
    if max(np.abs(mean - moments[0]).max(), np.abs(std - moments[1]).max()) > TOLERANCE:
        found = f"{mean.round(4).tolist()}, std {std.round(4).tolist()}"
        raise damaged(path, f"training pixels have mean {found}, not {moments}")


def check_classes(where: str, splits: Mapping[str, Iterable[str]]) -> None:
    """See that the classes of `train` and `test` are the same, and those of `valid` among them.

    Args:
      where: the dataset, for messages.
      splits: class names of each split that there is.

    Raises:
      UserError: they differ, or there are fewer than two.
    """
    train = set(splits["train"])
    if len(train) < 2:
        named = f" ({min(train)})" if train else ""
        raise UserError(f"{where} has {len(train)} classes{named}; it takes 2 or more")
    problems = []
    for split in SPLITS[1:]:
        found = set(splits.get(split, train))
        if more := sorted(found - train):
            problems.append(f"{_listed(more)} in {split} but not in train")
        if split == "test" and (missing := sorted(train - found)):
            problems.append(f"{_listed(missing)} in train but not in test")
    if problems:
        raise UserError(
            f"{where}: classes differ: {'; '.join(problems)}; have the same ones in all, or read "
            "it as one whose test classes are new (--dataset=folder, tfds:NAME)"
        )


def without_images(split: Split) -> list[str]:
    """A note on the classes that have no images in a validation split; [] where all have some."""
    missing = [name for name, count in zip(split.names, split.counts, strict=True) if not count]
    if not missing:
        return []
    some = f"{len(missing)} of {len(split.names)} classes, such as {missing[0]}"
    return [f"note: there are no validation images of {some}"]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more
