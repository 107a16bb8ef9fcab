"""Training tasks and batches: drawn, augmented and prepared inside the jitted step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from metalearn.data.episodes import Prepare, Transform, as_task, episode_indices
from metalearn.types import Array, Batch, ClassSource, Key, Task


@dataclass(frozen=True)
class Sampler:
    """Draws a training task or batch, in two halves: positions first, then the task of the images.

    Between the two, the images of a split that is too large for the device are fetched by the host.

    Attributes:
      rows: `(key, starts [C], counts [C]) -> int32 [...]`, positions of its images in the split.
      make: `(key, source) -> Task | Batch`, of a source whose images [R,H,W,Ch] are those at
        `rows`, flattened. It gets the same key.
    """

    rows: Callable[[Key, Array, Array], Array]
    make: Callable[[Key, ClassSource], Any]

    def __call__(self, key: Key, source: ClassSource) -> Any:
        """Both halves in one, from a source with the images of the whole split."""
        rows = self.rows(key, source.starts, source.counts).reshape(-1)
        return self.make(key, source._replace(images=source.images[rows]))


def task_sampler(
    largest: int,
    ways: int,
    shots: int,
    queries: int,
    prepare: Prepare,
    augment: Transform | None = None,
    most_shots: int = 0,
) -> Sampler:
    """`(key, source) -> Task`, for use inside a jitted step.

    Args:
      largest: size of the largest class.
      ways: N.
      shots: K.
      queries: query images a class.
      prepare: uint8 images to float32.
      augment: alters every support and query image by itself.
      most_shots: draw the number of support images a class from 1 to this, and give it in
        `Task.shots`; the task has K of them all the same, as shapes are fixed. 0 for always K.
    """

    def rows(key: Key, starts: Array, counts: Array) -> Array:
        return episode_indices(
            jax.random.split(key, 3)[0], starts, counts, largest, ways, shots + queries
        )

    def make(key: Key, source: ClassSource) -> Task:
        # The first of the three keys drew the rows
        _, support_key, query_key = jax.random.split(key, 3)
        task = as_task(
            source.images.reshape(ways, shots + queries, *source.images.shape[1:]), shots
        )
        support_x, query_x = task.support_x, task.query_x
        if augment is not None:
            support_x = augment(support_key, support_x)
            query_x = augment(query_key, query_x)
        drawn = None
        if most_shots:
            # A further key: tasks have the same images with and without most_shots
            drawn = jax.random.randint(jax.random.fold_in(key, 3), (), 1, most_shots + 1)
        return task._replace(support_x=prepare(support_x), query_x=prepare(query_x), shots=drawn)

    return Sampler(rows, make)


def batch_sampler(size: int, prepare: Prepare, augment: Transform | None = None) -> Sampler:
    """`(key, source) -> Batch` of `size` images drawn uniformly, labelled by class of the split.

    Args:
      size: B.
      prepare: uint8 images to float32.
      augment: alters every image by itself.
    """

    def rows(key: Key, starts: Array, counts: Array) -> Array:
        images = starts[-1] + counts[-1]
        return jax.random.randint(jax.random.split(key)[0], (size,), 0, images, jnp.int32)

    def make(key: Key, source: ClassSource) -> Batch:
        # The same key gives the same rows again: the source holds the images without positions
        labels = jnp.searchsorted(
            source.starts, rows(key, source.starts, source.counts), side="right"
        )
        x = source.images if augment is None else augment(jax.random.split(key)[1], source.images)
        return Batch(prepare(x), labels.astype(jnp.int32) - 1)

    return Sampler(rows, make)


def turn(batch: Batch) -> Batch:
    """The batch with its quarters turned by 0, 90, 180 and 270 degrees, which `turns` says.

    For predicting the turn beside the class, at no more images (compare `turn_all`).
    """
    parts = jnp.array_split(batch.x, 4)
    x = jnp.concatenate([jnp.rot90(part, k, (1, 2)) for k, part in enumerate(parts)])
    turns = [jnp.full(len(part), k, jnp.int32) for k, part in enumerate(parts)]
    return batch._replace(x=x, turns=jnp.concatenate(turns))


def turn_all(batch: Batch) -> Batch:
    """The batch four times as large, each image turned by 0, 90, 180 and 270 degrees.

    `turns` says by how many quarters.
    """
    x = jnp.concatenate([jnp.rot90(batch.x, k, (1, 2)) for k in range(4)])
    turns = jnp.repeat(jnp.arange(4), len(batch.x))
    return batch._replace(x=x, y=jnp.tile(batch.y, 4), turns=turns)
