"""The fixed, hashed list of test episodes that all methods share."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.data.augment import THEMSELVES, Copies
from metalearn.data.episodes import as_task, episode_hash, episode_indices
from metalearn.types import Array, ClassSource, Task, random_key


class Episodes(NamedTuple):
    """A list of test episodes as positions in a split, int32 [E, N, K+Q], and how many of K+Q are
    support.
    """

    indices: np.ndarray
    shots: int

    @property
    def hash(self) -> str:
        return episode_hash(self.indices)


def draw_episodes(
    source: ClassSource, count: int, ways: int, shots: int, queries: int, seed: int
) -> Episodes:
    """Episode i is drawn from `fold_in(key(seed), i)`: a longer list begins with the shorter
    one.
    """
    largest = int(source.counts.max())

    @jax.jit
    def draw(start: Array) -> Array:
        keys = jax.vmap(partial(jax.random.fold_in, random_key(seed)))(start + jnp.arange(100))
        pick = partial(episode_indices, largest=largest, ways=ways, per_class=shots + queries)
        return jax.vmap(lambda k: pick(k, starts, counts))(keys)

    starts = jnp.asarray(np.asarray(source.starts))
    counts = jnp.asarray(np.asarray(source.counts))
    with jax.threefry_partitionable(True):  # whatever was set since: lists are compared over years
        blocks = [np.asarray(draw(start)) for start in range(0, count, 100)]
    return Episodes(np.concatenate(blocks)[:count], shots)


def task_of(x: Array, indices: Array, shots: int, size: int, copies: Copies = THEMSELVES) -> Task:
    """The unprepared task of images [N, K+Q, ...] at indices [N, K+Q] of a split; copies replace
    its support.
    """
    rows = as_task(*copies.rows(indices, shots, size))
    task = as_task(*copies.rows(x, shots, 0))  # each support image as often as it is copied
    return task._replace(support_x=copies.altered(task.support_x, rows.support_x, size))
