"""Labelled images of fixed classes: which of a dataset's images are trained on, and which tested.

A dataset whose splits have the same classes is used as it is published. Of one whose test classes
are new, those classes are learned from one half of each class's images and tested on the other.
"""

import hashlib
import json
from typing import NamedTuple

import numpy as np

from metalearn.data.alike import groups_of, resized_groups
from metalearn.data.source import Dataset, Split
from metalearn.data.splits import SPLITS
from metalearn.data.strata import VALID, divided_rows
from metalearn.errors import UserError

SHARES = {"test": 0.5, "valid": VALID}  # of the images of a class that is new at test
SEED = 0  # of the division
RESIZED = ("folder", "mini_imagenet")  # data sets whose images have the size that is asked for


class Part(NamedTuple):
    """Some images of a split, sorted by class.

    Attributes:
      split: name of the dataset's split.
      rows: int [M], positions in it.
      counts: int32 [C], images of each class.
    """

    split: str
    rows: np.ndarray
    counts: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """int32 [M], the class of each image."""
        return np.repeat(np.arange(len(self.counts), dtype=np.int32), self.counts)


class Labelled(NamedTuple):
    """Images of fixed classes to train on, to validate with and to test.

    Attributes:
      names: of the classes.
      train, test: images.
      valid: images; None where labels are few, as they would be labels too, or there are none.
    """

    names: tuple[str, ...]
    train: Part
    valid: Part | None
    test: Part

    @property
    def hash(self) -> str:
        """16 hexadecimal digits of the positions of all images that are trained on or tested."""
        found = hashlib.sha256()
        for part in (self.train, self.test):
            found.update(json.dumps([part.split, part.counts.tolist()]).encode())
            found.update(np.ascontiguousarray(part.rows, "<i4").tobytes())
        return found.hexdigest()[:16]


def labelled(dataset: Dataset, labels: int = 0, classes: str = "test", seed: int = 0) -> Labelled:
    """The dataset's images of fixed classes.

    Args:
      dataset: any.
      labels: images a class to train on; 0 for all.
      classes: `test`; or `valid`, to choose settings by: of a dataset whose test classes are new,
        the validation classes are learned, of another the validation images are tested.
      seed: draws the images; those of fewer labels are among those of more.

    Raises:
      UserError: a class has too few images.
    """
    parts = _published(dataset, classes) if dataset.shared else _divided(dataset, classes)
    names = getattr(dataset, parts["test"].split).names
    train = parts["train"]
    if labels:
        return Labelled(names, drawn(dataset.name, names, train, labels, seed), None, parts["test"])
    valid = parts["valid"] if len(parts["valid"].rows) else None
    return Labelled(names, train, valid, parts["test"])


def drawn(where: str, names: tuple[str, ...], part: Part, labels: int, seed: int) -> Part:
    """So many images of each class of a part.

    Args:
      where: the dataset, for messages.
      names: of the classes.
      part: to draw from.
      labels: images a class.
      seed: of the draw.

    Raises:
      UserError: a class has fewer.
    """
    least = int(np.argmin(part.counts))
    if part.counts[least] < labels:
        raise UserError(
            f"--labels={labels}: class {names[least]!r} of {where} has {part.counts[least]} images "
            "to train on: lower --labels, or leave it out for all"
        )
    random = np.random.default_rng(seed)
    ends = np.cumsum(part.counts)
    chosen = [
        np.sort(random.permutation(np.arange(end - count, end))[:labels])
        for count, end in zip(part.counts, ends, strict=True)
    ]
    counts = np.full(len(part.counts), labels, np.int32)
    return Part(part.split, part.rows[np.concatenate(chosen)], counts)


def _published(dataset: Dataset, tested: str) -> dict[str, Part]:
    """The splits of a dataset that have the same classes; one is tested."""
    found = {}
    for name in SPLITS:
        split: Split = getattr(dataset, name)
        found[name] = Part(name, np.arange(len(split.images)), np.asarray(split.counts, np.int32))
    if tested == "test":
        return found
    if not len(found[tested].rows):
        raise UserError(f"--learned={tested}: {dataset.name} has no such images; leave it out")
    none = Part(tested, found[tested].rows[:0], np.zeros_like(found[tested].counts))
    return found | {"test": found[tested], "valid": none}


def _divided(dataset: Dataset, classes: str) -> dict[str, Part]:
    """The classes of one split, the images of each shared out."""
    split: Split = getattr(dataset, classes)
    # Of photographs, two of one scene would be on both sides
    resized = dataset.name in RESIZED or dataset.name.startswith("tfds:")
    groups = resized_groups(split.images) if resized else groups_of(split.images, near=False)
    rows = divided_rows(split, groups, SHARES, SEED, f"{dataset.name}'s {classes} classes")
    labels = np.repeat(np.arange(len(split.counts)), split.counts)
    return {
        name: Part(
            classes, found, np.bincount(labels[found], minlength=len(split.counts)).astype(np.int32)
        )
        for name, found in rows.items()
    }
