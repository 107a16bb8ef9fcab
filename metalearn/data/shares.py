"""How a seed splits classes into training, validation and test classes."""

from collections.abc import Sequence
from itertools import count
from typing import TypeVar

import numpy as np

Label = TypeVar("Label", int, str)

VALID = 0.16  # of the classes
TEST = 0.20
FEWEST = 2  # classes of an episode


def shared_out(labels: Sequence[Label], seed: int) -> dict[str, list[Label]]:
    """The labels of each split, sorted; the same for the same seed and the same labels."""
    order = np.random.default_rng(seed).permutation(sorted(labels)).tolist()
    valid, test = sizes(len(order))
    parts = {
        "train": order[valid + test :],
        "valid": order[:valid],
        "test": order[valid : valid + test],
    }
    return {split: sorted(part) for split, part in parts.items()}


def sizes(classes: int) -> tuple[int, int]:
    """Numbers of classes for validation and for test, if possible enough for an episode."""
    least = FEWEST if classes >= 3 * FEWEST else 1
    return max(least, round(VALID * classes)), max(least, round(TEST * classes))


def classes_needed(ways: int) -> int:
    """The fewest classes in all with which every split has `ways` of them."""
    return next(n for n in count(3 * ways) if min(*sizes(n), n - sum(sizes(n))) >= ways)
