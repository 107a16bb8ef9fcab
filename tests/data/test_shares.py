"""How a seed shares out classes."""

import numpy as np
import pytest

from metalearn.data.shares import classes_needed, shared_out, sizes


@pytest.mark.parametrize("classes", range(3, 120))
def test_seeded_split_puts_every_class_in_one_split(classes: int) -> None:
    parts = shared_out(list(range(classes)), seed=1)
    assert sorted(sum(parts.values(), [])) == list(range(classes))
    assert min(map(len, parts.values())) >= (2 if classes >= 6 else 1)


def test_seeded_split_sizes_are_the_shares_from_ten_classes_on() -> None:
    """As they always were: records are of these splits."""
    for classes in range(10, 500):
        assert sizes(classes) == (round(0.16 * classes), round(0.2 * classes))
    order = np.random.default_rng(3).permutation(range(25)).tolist()
    parts = shared_out(list(range(25)), 3)
    expected = {"train": order[9:], "valid": order[:4], "test": order[4:9]}
    assert parts == {split: sorted(labels) for split, labels in expected.items()}


@pytest.mark.parametrize(("ways", "classes"), [(2, 6), (3, 16), (5, 29), (20, 122)])
def test_classes_needed_for_some_ways_are_the_fewest(ways: int, classes: int) -> None:
    assert classes_needed(ways) == classes
    assert min(sizes(classes)) >= ways > min(sizes(classes - 1))
