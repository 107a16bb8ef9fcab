"""Episodes: what they are made of, that all are equally likely, and that they are the same
everywhere.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from metalearn.data.episodes import (
    check,
    episode_hash,
    episode_indices,
    make_task,
    smallest,
    to_device,
)
from metalearn.data.source import Split
from metalearn.errors import UserError
from metalearn.evaluation.episodes import draw_episodes
from tests.small import noise_source

COUNTS = (5, 9, 4, 12, 7, 5)  # ragged
WAYS, SHOTS, QUERIES = 3, 1, 3
CLASS_OF = np.repeat(np.arange(len(COUNTS)), COUNTS)


@pytest.fixture(scope="module")
def episodes() -> np.ndarray:
    return draw_episodes(noise_source(COUNTS), 3000, WAYS, SHOTS, QUERIES, seed=0).indices


def test_episode_classes_and_images_are_distinct(episodes: np.ndarray) -> None:
    assert episodes.shape == (3000, WAYS, SHOTS + QUERIES) and episodes.dtype == np.int32
    classes = CLASS_OF[episodes]
    assert (classes == classes[..., :1]).all()  # no image beyond its class
    assert (np.diff(np.sort(classes[..., 0])) > 0).all()
    assert (np.diff(np.sort(episodes)) > 0).all()


def test_episode_classes_and_images_are_uniform(episodes: np.ndarray) -> None:
    for way in range(WAYS):
        assert chisquare(np.bincount(CLASS_OF[episodes[:, way, 0]], minlength=6)).pvalue > 1e-3
    for place in (0, SHOTS + QUERIES - 1):
        found = np.bincount(episodes[:, :, place].reshape(-1), minlength=sum(COUNTS))
        expected = 3000 * WAYS / len(COUNTS) / np.repeat(COUNTS, COUNTS)
        assert chisquare(found, expected * found.sum() / expected.sum()).pvalue > 1e-3


def test_class_with_just_enough_images_gives_all_of_them(episodes: np.ndarray) -> None:
    third = episodes[CLASS_OF[episodes[..., 0]] == 2]
    assert (np.sort(third) == np.arange(14, 18)).all()
    assert len(np.unique(third, axis=0)) == 24  # in every order


def test_longer_episode_list_begins_with_the_shorter(episodes: np.ndarray) -> None:
    short = draw_episodes(noise_source(COUNTS), 130, WAYS, SHOTS, QUERIES, seed=0)
    np.testing.assert_array_equal(short.indices, episodes[:130])
    other = draw_episodes(noise_source(COUNTS), 130, WAYS, SHOTS, QUERIES, seed=1)
    assert other.hash != short.hash


def test_episode_list_of_a_seed_has_a_fixed_hash() -> None:
    """Accuracies are compared over years on these lists: a new hash here makes every record a
    stranger.
    """
    drawn = draw_episodes(noise_source(COUNTS), 100, WAYS, SHOTS, QUERIES, seed=0)
    assert drawn.hash == "5fc6f9cd6a68de49"
    assert episode_hash(np.arange(24, dtype=np.int64).reshape(2, 3, 4)) == "a26f2589bc817e20"


@pytest.mark.parametrize(
    "setting",
    [
        partial(jax.enable_x64, True),
        partial(jax.default_prng_impl, "rbg"),
        partial(jax.default_prng_impl, "unsafe_rbg"),
        partial(jax.threefry_partitionable, False),
    ],
    ids=["float64", "rbg", "unsafe_rbg", "not partitionable"],
)
def test_episode_list_does_not_depend_on_jax_settings(
    setting: Callable[[], AbstractContextManager], episodes: np.ndarray
) -> None:
    with setting():
        drawn = draw_episodes(noise_source(COUNTS), 130, WAYS, SHOTS, QUERIES, seed=0)
    assert drawn.indices.dtype == np.int32
    np.testing.assert_array_equal(drawn.indices, episodes[:130])


def test_episode_does_not_depend_on_jit_or_vmap(episodes: np.ndarray) -> None:
    source = noise_source(COUNTS)
    key = jax.random.fold_in(jax.random.key(0), 17)
    pick = partial(episode_indices, largest=max(COUNTS), ways=WAYS, per_class=SHOTS + QUERIES)
    np.testing.assert_array_equal(pick(key, source.starts, source.counts), episodes[17])


def test_smallest_takes_the_first_of_equal_ranks() -> None:
    ranks = jnp.array([7, 3, 2**32 - 1, 3, 0], jnp.uint32)
    np.testing.assert_array_equal(smallest(ranks, 4), [4, 1, 3, 0])


def test_make_task_labels_classes_by_row() -> None:
    images = np.arange(20, dtype=np.uint8).reshape(20, 1, 1, 1)
    task = make_task(jnp.asarray(images), jnp.array([[3, 5, 4], [10, 12, 11]]), shots=2)
    np.testing.assert_array_equal(task.support_x.reshape(-1), [3, 5, 10, 12])
    np.testing.assert_array_equal(task.query_x.reshape(-1), [4, 11])
    np.testing.assert_array_equal(task.support_y, [0, 0, 1, 1])
    np.testing.assert_array_equal(task.query_y, [0, 1])
    assert task.query_y.dtype == jnp.int32


def split(counts: tuple[int, ...]) -> Split:
    images = np.asarray(noise_source(counts, side=3).images)
    return Split(images, np.array(counts, np.int32), tuple(f"c{i}" for i in range(len(counts))))


def test_rotated_classes_are_classes_of_their_own() -> None:
    given = split((2, 3))
    source = to_device(given, rotations=4)
    np.testing.assert_array_equal(source.counts, [2, 3] * 4)
    np.testing.assert_array_equal(source.starts, [0, 2, 5, 7, 10, 12, 15, 17])
    for quarter in range(4):
        expected = [np.rot90(image, quarter) for image in given.images]
        np.testing.assert_array_equal(source.images[5 * quarter : 5 * quarter + 5], expected)
    np.testing.assert_array_equal(to_device(given).images, given.images)


def test_check_accepts_classes_with_just_enough_images() -> None:
    check(split((4, 6, 5)), "the test split", 3, 1, 3)
    check(split((4, 6)), "the test split", 8, 1, 3, rotations=4)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((0, 1, 1), "ways must be at least 1, not 0: set --ways"),
        ((2, 0, 1), "shots must be at least 1"),
        ((2, 1, 0), "queries must be at least 1"),
        ((4, 1, 1), "4-way episodes need 4 classes, but the test split has 3: lower the ways"),
        ((2, 2, 3), "class 'c0' of the test split has 4 images, fewer than 2 shots [+] 3 queries"),
    ],
)
def test_check_names_what_does_not_fit(shape: tuple[int, int, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(split((4, 6, 5)), "the test split", *shape)


def test_check_says_how_many_classes_a_seeded_split_needs() -> None:
    with pytest.raises(UserError, match="has 3: lower the ways or bring 29 classes or more for"):
        check(split((4, 6, 5)), "the test split", 5, 1, 1, by_seed=True)
    with pytest.raises(UserError, match="has 1: bring 6 classes or more for the seed to split"):
        check(split((4,)), "the test split", 2, 1, 1, by_seed=True)
    with pytest.raises(UserError, match="has 1: add classes"):
        check(split((4,)), "the test split", 2, 1, 1)
