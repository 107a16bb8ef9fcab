"""Images that occur in two splits of a dataset.

Accuracy on a test image that was trained on says nothing about new classes.
"""

from collections import defaultdict
from itertools import combinations
from typing import NamedTuple

import numpy as np

from metalearn.data.source import Dataset, Split

SPLITS = ("train", "valid", "test")


class Shared(NamedTuple):
    """An image of two splits, equal in every pixel: its positions and its classes in both."""

    first: int
    second: int
    first_class: str
    second_class: str


def overlap(dataset: Dataset) -> dict[tuple[str, str], list[Shared]]:
    """For each pair of splits, the images of the second that also occur in the first."""
    splits = {name: getattr(dataset, name) for name in SPLITS}
    rows = {name: _positions(split) for name, split in splits.items()}
    return {(a, b): _shared(splits[a], rows[a], splits[b]) for a, b in combinations(SPLITS, 2)}


def _positions(split: Split) -> dict[bytes, list[int]]:
    found = defaultdict(list)
    for row, image in enumerate(split.images):
        found[image.tobytes()].append(row)
    return found


def _shared(a: Split, rows: dict[bytes, list[int]], b: Split) -> list[Shared]:
    return [
        Shared(row, other, _class_of(a, row), _class_of(b, other))
        for other, image in enumerate(b.images)
        for row in rows.get(image.tobytes(), [])[:1]
    ]


def _class_of(split: Split, row: int) -> str:
    return split.names[int(np.searchsorted(np.cumsum(split.counts), row, side="right"))]
