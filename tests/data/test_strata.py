"""A seed's split of images: the same share of each class, groups whole, every class everywhere."""

import numpy as np
import pytest

from metalearn.data.alike import resized_groups
from metalearn.data.source import Split
from metalearn.data.strata import ALL_THREE, HELD_OUT, divided, divided_rows, drawn_parts
from metalearn.errors import UserError


def make_split(*counts: int) -> Split:
    """Images that hold their own number."""
    images = np.arange(sum(counts), dtype=np.uint8).reshape(-1, 1, 1, 1)
    names = tuple("abcdef"[: len(counts)])
    return Split(images, np.array(counts, np.int32), names)


def alone(split: Split) -> np.ndarray:
    """Every image in a group of its own."""
    return np.arange(len(split.images))


def test_each_class_gives_its_share_to_every_part() -> None:
    split = make_split(100, 20, 3)
    parts = divided(split, alone(split), ALL_THREE, 0, "here")
    assert {name: part.counts.tolist() for name, part in parts.items()} == {
        "train": [70, 14, 1],
        "test": [20, 4, 1],
        "valid": [10, 2, 1],
    }
    together = np.concatenate([part.images for part in parts.values()]).ravel()
    assert sorted(together.tolist()) == list(range(123))
    for part in parts.values():
        labels = np.searchsorted([100, 120, 123], part.images.ravel(), side="right")
        assert labels.tolist() == np.repeat(np.arange(3), part.counts).tolist()


def test_parts_depend_on_the_seed_alone() -> None:
    split = make_split(50, 50)
    first, again, other = (divided(split, alone(split), HELD_OUT, s, "here") for s in (1, 1, 2))
    assert (first["valid"].images == again["valid"].images).all()
    assert (first["valid"].images != other["valid"].images).any()


def test_parts_do_not_depend_on_the_size_of_the_images() -> None:
    patches = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
    drawn = []
    for side in (16, 24):
        images = patches.repeat(side // 8, axis=1).repeat(side // 8, axis=2)
        split = Split(images, np.array([20, 20], np.int32), ("a", "b"))
        drawn.append(divided_rows(split, resized_groups(images), ALL_THREE, 0, "here"))
    for name in ("train", "valid", "test"):
        assert drawn[0][name].tolist() == drawn[1][name].tolist()


def test_groups_stay_together() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), 40)
    groups = random.integers(0, 60, len(labels))  # of several classes too
    parts = drawn_parts(labels, groups, [0.2, 0.1], 0)
    for group in range(60):
        assert len(set(parts[groups == group].tolist())) <= 1
    for part, share in ((1, 8), (2, 4)):
        counts = np.bincount(labels[parts == part], minlength=5)
        assert (counts > 0).all() and abs(counts - share).max() <= 5


def test_a_large_group_goes_to_training() -> None:
    """It does not fit into the others' share, of which the rest is enough."""
    labels = np.zeros(20, np.int64)
    groups = np.array([0] * 12 + list(range(1, 9)))
    parts = drawn_parts(labels, groups, [0.2, 0.1], 3)
    assert (parts[:12] == 0).all() and np.bincount(parts).tolist() == [14, 4, 2]


def test_the_smallest_group_is_taken_where_none_fits() -> None:
    labels = np.zeros(12, np.int64)
    groups = np.array([0] * 5 + [1] * 4 + [2] * 3)
    assert np.bincount(drawn_parts(labels, groups, [0.1], 0)).tolist() == [9, 3]


def test_a_class_of_too_few_different_images_is_refused() -> None:
    split = make_split(10, 4)
    groups = np.array([*range(10), 10, 10, 11, 11])
    with pytest.raises(UserError, match="here: 4 images of class 'b' .* show 2 different things;"):
        divided(split, groups, ALL_THREE, 0, "here")
    groups[:2] = 11
    with pytest.raises(UserError, match="2 different things, 1 of which images of other classes"):
        divided(split, groups, ALL_THREE, 0, "here")
