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
    """A list of test episodes.

    Attributes:
      indices: int32 [E,N,K+Q], positions of their images in the split.
      shots: K, number of support images a class, which come first.
    """

    indices: np.ndarray
    shots: int

    @property
    def hash(self) -> str:
        """What records name the list by; see `episode_hash`."""
        return episode_hash(self.indices)


def draw_episodes(
    source: ClassSource, count: int, ways: int, shots: int, queries: int, seed: int
) -> Episodes:
    """The test episodes of a seed; a longer list begins with the shorter one.

    Episode i is drawn from `fold_in(key(seed), i)`.

    Args:
      source: the split, whose class sizes are read.
      count: E.
      ways: N.
      shots: K.
      queries: query images a class.
      seed: of the list.

    Example: 5-way 1-shot episodes with 3 queries a class, of a split of 8 classes with 10 images.

        >>> import numpy as np
        >>> from metalearn.evaluation.episodes import draw_episodes
        >>> from metalearn.types import ClassSource
        >>> images = np.zeros((80, 4, 4, 1), np.uint8)
        >>> source = ClassSource(images, starts=np.arange(0, 80, 10), counts=np.full(8, 10))
        >>> draw_episodes(source, 20, ways=5, shots=1, queries=3, seed=0).indices.shape
        (20, 5, 4)
    """
    largest = int(source.counts.max())

    # In blocks of one shape: the program does not depend on the length of the list
    @jax.jit
    def draw(start: Array) -> Array:
        keys = jax.vmap(partial(jax.random.fold_in, random_key(seed)))(start + jnp.arange(100))
        pick = partial(episode_indices, largest=largest, ways=ways, per_class=shots + queries)
        return jax.vmap(lambda k: pick(k, starts, counts))(keys)

    starts = jnp.asarray(np.asarray(source.starts))
    counts = jnp.asarray(np.asarray(source.counts))
    # Whatever the user has set: records are compared on these lists
    with jax.threefry_partitionable(True):
        blocks = [np.asarray(draw(start)) for start in range(0, count, 100)]
    return Episodes(np.concatenate(blocks)[:count], shots)


def task_of(x: Array, indices: Array, shots: int, size: int, copies: Copies = THEMSELVES) -> Task:
    """The task of an episode's images, its support replaced by augmented copies.

    Args:
      x: [N,K+Q,...], the images, which stay uint8.
      indices: [N,K+Q], their positions in the split, on which the augmentation of a copy depends.
      shots: K.
      size: number of images of the split.
      copies: of each support image; by default the image itself.
    """
    rows = as_task(*copies.rows(indices, shots, size))
    task = as_task(*copies.rows(x, shots, 0))  # each support image as often as it is copied
    return task._replace(support_x=copies.altered(task.support_x, rows.support_x, size))
