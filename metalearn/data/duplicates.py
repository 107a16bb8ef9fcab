"""Images that occur more than once in a dataset, equal in every pixel."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

import numpy as np


class Place(NamedTuple):
    """Where an image occurs: its split, its class, its file's name."""

    split: str
    label: str
    name: str


def duplicate_notes(images: np.ndarray, places: Sequence[Place]) -> list[str]:
    """Notes on the duplicates among images uint8 [M, ...]; [] where there are none.

    One line each for those within a class, in several classes, and in several splits.
    """
    groups = _alike(images, places)
    beyond = [group for group in groups if _several_splits(group)]
    mixed = [group for group in groups if not _several_splits(group) and _several_labels(group)]
    again = [second for group in groups for second in _of_one_class(group)]
    lines = []
    if again:
        lines.append(
            f"note: {_images(len(again))} more than once in a class, such as {_two(again[0])}: "
            "one may be shown as support and asked as query"
        )
    if mixed:
        example = _two(_mixed(mixed[0]))
        lines.append(f"warning: {_images(len(mixed))} in several classes, such as {example}")
    if beyond:
        lines.append(
            f"warning: {_images(len(beyond))} in several splits, such as "
            f"{_two(_apart(beyond[0]))}: accuracy on images already seen says little"
        )
    return lines


def _alike(images: np.ndarray, places: Sequence[Place]) -> list[list[Place]]:
    """The places of each image that occurs more than once."""
    found = defaultdict(list)
    for image, place in zip(images, places, strict=True):
        found[sha256(image.tobytes()).digest()].append(place)
    return [group for group in found.values() if len(group) > 1]


def _several_splits(group: Iterable[Place]) -> bool:
    return len({place.split for place in group}) > 1


def _several_labels(group: Iterable[Place]) -> bool:
    return len({place.label for place in group}) > 1


def _of_one_class(group: Iterable[Place]) -> list[list[Place]]:
    """Pairs of the first place in a class and each further one in it."""
    firsts: dict[tuple[str, str], Place] = {}
    pairs = []
    for place in group:
        first = firsts.setdefault(place[:2], place)
        if first is not place:
            pairs.append([first, place])
    return pairs


def _apart(group: Sequence[Place]) -> list[Place]:
    """The first place, and one in another split."""
    return [group[0], next(place for place in group if place.split != group[0].split)]


def _mixed(group: Sequence[Place]) -> list[Place]:
    """The first place, and one in another class."""
    return [group[0], next(place for place in group if place.label != group[0].label)]


def _images(count: int) -> str:
    return "1 image occurs" if count == 1 else f"{count} images occur"


def _two(group: Sequence[Place]) -> str:
    return f"{group[0].name} and {group[1].name}"
