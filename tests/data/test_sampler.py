"""Samplers of training batches: what is drawn, how it is labelled, and how it is turned."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import chisquare

from metalearn.data.augment import augmentation
from metalearn.data.sampler import batch_sampler, task_sampler, turn, turn_all
from metalearn.types import Batch, random_key
from tests.small import SIDE, noise_source, prepare, quick_jit

COUNTS = (5, 9, 4, 12, 7, 5)  # ragged
WAYS, SHOTS, QUERIES = 3, 1, 3
CLASS_OF = np.repeat(np.arange(len(COUNTS)), COUNTS)
X = jax.random.normal(jax.random.key(0), (8, SIDE, SIDE, 1))
Y = jnp.arange(8) % 6


def test_samplers_draw_the_same_images_in_float64() -> None:
    """Positions, labels and transforms: everything that is drawn on the device."""

    def drawn() -> list[Any]:
        source = noise_source(COUNTS, channels=3)
        augment = augmentation("flip,crop,jitter")
        task = quick_jit(task_sampler(max(COUNTS), WAYS, SHOTS, QUERIES, prepare, augment))
        batch = quick_jit(batch_sampler(64, prepare, augment))
        turned = turn(batch(random_key(3), source))
        everything = (*task(random_key(3), source), turned.x, turned.y, turned.turns)
        return [np.asarray(x) for x in everything]

    expected = drawn()
    with jax.enable_x64(True):
        found = drawn()
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def numbered_source() -> object:
    """A source each of whose images is its position."""
    source = noise_source(COUNTS, side=1)
    return source._replace(images=jnp.arange(sum(COUNTS), dtype=jnp.uint8).reshape(-1, 1, 1, 1))


def test_task_sampler_augments_and_prepares_support_and_queries() -> None:
    source = numbered_source()

    def transform(key, x):
        return x + jnp.uint8(100)

    sample = quick_jit(
        task_sampler(max(COUNTS), WAYS, SHOTS, QUERIES, lambda x: x.astype(jnp.float32), transform)
    )
    task = sample(jax.random.key(0), source)
    drawn = (
        np.asarray(jnp.concatenate([task.support_x, task.query_x])).reshape(-1).astype(int) - 100
    )
    assert len(set(drawn)) == WAYS * (SHOTS + QUERIES)  # support and queries disjoint
    classes = CLASS_OF[drawn[WAYS * SHOTS :]].reshape(WAYS, QUERIES)
    assert (classes == CLASS_OF[drawn[: WAYS * SHOTS]][:, None]).all()
    assert (sample(jax.random.key(1), source).support_x != task.support_x).any()


def test_batch_sampler_labels_images_by_class() -> None:
    batch = quick_jit(batch_sampler(4000, lambda x: x.astype(jnp.float32)))(
        jax.random.key(0), numbered_source()
    )
    drawn = np.asarray(batch.x).reshape(-1).astype(int)
    np.testing.assert_array_equal(batch.y, CLASS_OF[drawn])
    assert chisquare(np.bincount(drawn, minlength=sum(COUNTS))).pvalue > 1e-3


def test_task_sampler_draws_shots_uniformly() -> None:
    sampler = task_sampler(9, WAYS, 2, QUERIES, prepare, most_shots=4)
    source = noise_source((9, 9, 9, 9))
    draw = jax.jit(jax.vmap(lambda key: sampler(key, source).shots))
    counts = np.bincount(draw(jax.random.split(jax.random.key(0), 2000)), minlength=5)
    assert counts[0] == 0 and chisquare(counts[1:]).pvalue > 1e-3


def test_turn_turns_each_quarter_of_a_batch_further() -> None:
    """Each quarter of it by 90 degrees more than the last; labels stay."""
    batch = turn(Batch(X, Y))
    np.testing.assert_array_equal(batch.turns, [0, 0, 1, 1, 2, 2, 3, 3])
    for i, turns in enumerate(batch.turns):
        np.testing.assert_array_equal(batch.x[i], np.rot90(X[i], turns))
    assert batch.y is Y
    assert turn(Batch(X[:2], Y[:2])).turns.tolist() == [0, 1]


def test_turn_all_turns_every_image_four_times_and_keeps_its_class() -> None:
    batch = turn_all(Batch(X, Y))
    assert (
        batch.x.shape == (32, SIDE, SIDE, 1)
        and batch.turns.tolist() == [0] * 8 + [1] * 8 + [2] * 8 + [3] * 8
    )
    np.testing.assert_array_equal(batch.y, [*Y, *Y, *Y, *Y])
    for i in range(8):
        for k in range(4):
            np.testing.assert_array_equal(batch.x[8 * k + i], np.rot90(X[i], k))
