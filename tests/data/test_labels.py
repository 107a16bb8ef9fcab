"""Which images of a dataset are trained on, and which are tested."""

import numpy as np
import pytest

from metalearn.data.labels import labelled
from metalearn.data.source import Dataset, Split
from metalearn.errors import UserError


def split(counts: tuple[int, ...], names: str, first: int = 0) -> Split:
    """Images of one pixel, each of its own colour."""
    number = sum(counts)
    values = first + np.arange(number)
    images = np.stack([values // 256, values % 256, values * 0], -1).astype(np.uint8)
    return Split(images[:, None, None], np.array(counts, np.int32), tuple(names))


def dataset(shared: bool, test: tuple[int, ...] = (20, 30)) -> Dataset:
    """Two classes; the same ones in all splits, or others in each."""
    names = ("ab", "ab", "ab") if shared else ("ab", "cd", "ef")
    parts = [
        split(counts, name, 100 * i)
        for i, (counts, name) in enumerate(zip(((10, 12), (2, 0), test), names, strict=True))
    ]
    zero = np.zeros(3, np.float32)
    return Dataset("made_up", *parts, zero, zero, shared=shared)


def test_labels_of_shared_classes_are_the_published_splits() -> None:
    found = labelled(dataset(shared=True))
    assert found.names == ("a", "b")
    assert (found.train.split, found.valid.split, found.test.split) == ("train", "valid", "test")
    assert found.train.rows.tolist() == list(range(22)) and found.test.counts.tolist() == [20, 30]
    assert found.train.labels.tolist() == [0] * 10 + [1] * 12


def test_validation_images_are_tested_where_settings_are_chosen() -> None:
    found = labelled(dataset(shared=True), classes="valid")
    assert found.test.split == "valid" and found.test.counts.tolist() == [2, 0]
    assert found.valid is None and found.train.split == "train"


def test_labels_of_new_classes_are_one_half_of_their_images() -> None:
    found = labelled(dataset(shared=False))
    parts = (found.train, found.valid, found.test)
    assert found.names == ("e", "f") and {part.split for part in parts} == {"test"}
    assert [part.counts.tolist() for part in parts] == [[8, 12], [2, 3], [10, 15]]
    assert sorted(np.concatenate([part.rows for part in parts]).tolist()) == list(range(50))


def test_labels_are_drawn_by_seed_and_those_of_few_are_among_those_of_more() -> None:
    few = labelled(dataset(shared=True), labels=2, seed=1)
    more = labelled(dataset(shared=True), labels=5, seed=1)
    other = labelled(dataset(shared=True), labels=5, seed=2)
    assert few.train.counts.tolist() == [2, 2] and few.valid is None
    assert set(few.train.rows.tolist()) < set(more.train.rows.tolist())
    assert set(other.train.rows.tolist()) != set(more.train.rows.tolist())
    assert set(more.train.rows[:5].tolist()) <= set(range(10))
    assert len({few.hash, more.hash, other.hash}) == 3
    assert few.hash == labelled(dataset(shared=True), labels=2, seed=1).hash


def test_labels_are_not_tested_on() -> None:
    found = labelled(dataset(shared=False), labels=8, seed=3)
    assert not set(found.train.rows.tolist()) & set(found.test.rows.tolist())


@pytest.mark.parametrize("name", ["folder", "tfds:some", "mini_imagenet"])
def test_halves_of_photographs_do_not_depend_on_their_size(name: str) -> None:
    patches = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
    found = []
    for side in (16, 24):
        images = patches.repeat(side // 8, axis=1).repeat(side // 8, axis=2)
        split = Split(images, np.array([20, 20], np.int32), ("a", "b"))
        ones = np.ones(3, np.float32)
        found.append(labelled(Dataset(name, split, split, split, ones, ones)).hash)
    assert found[0] == found[1]


def test_more_labels_than_a_class_has_images_are_refused() -> None:
    with pytest.raises(UserError, match="--labels=11: class 'a' of made_up has 10 images"):
        labelled(dataset(shared=True), labels=11)
