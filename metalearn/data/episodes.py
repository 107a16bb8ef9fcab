"""Episodes and batches drawn on the device, from a split that lies there.

An episode is first a table of positions, then images. The positions depend on the key and on the class sizes alone:
every method sees the same episodes, whatever it does with them.
"""

import hashlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.base import Array, Batch, ClassSource, Key, Task
from metalearn.data.source import Dataset, Split
from metalearn.errors import UserError

Prepare = Callable[[Array], Array]  # uint8 images -> float32
Transform = Callable[[Key, Array], Array]  # uint8 images -> uint8 images


def to_device(split: Split, rotations: int = 1) -> ClassSource:
    """The split on the default device, as uint8; with rotations=4, each class also turned by 90, 180, 270 degrees."""
    images, counts = np.asarray(split.images), np.asarray(split.counts, np.int32)
    if rotations > 1:
        images = np.concatenate([np.rot90(images, turn, axes=(1, 2)) for turn in range(rotations)])
        counts = np.tile(counts, rotations)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int32)
    return ClassSource(jnp.asarray(np.ascontiguousarray(images)), jnp.asarray(starts), jnp.asarray(counts))


def check(split: Split, where: str, ways: int, shots: int, queries: int, rotations: int = 1) -> None:
    """Raise `UserError` unless episodes of this shape can be drawn from every class of the split."""
    for name, value in (("ways", ways), ("shots", shots), ("queries", queries)):
        if value < 1:
            raise UserError(f"{name} must be at least 1, not {value}: set --{name}")
    classes = len(split.counts) * rotations
    if ways > classes:
        raise UserError(f"{ways}-way episodes need {ways} classes, but {where} has {classes}: lower the ways")
    least = int(np.argmin(split.counts))
    if split.counts[least] < shots + queries:
        raise UserError(
            f"class '{split.names[least]}' of {where} has {split.counts[least]} images, fewer than {shots} shots + "
            f"{queries} queries: lower shots or queries, or add images"
        )


def episode_indices(key: Key, starts: Array, counts: Array, largest: int, ways: int, per_class: int) -> Array:
    """Positions [ways, per_class] of distinct images of distinct classes, uniformly at random.

    Integer keys are ranked, so that the same episode comes out on every backend. largest is the size of the largest
    class, known before tracing.
    """
    class_key, image_key = jax.random.split(key)
    classes = smallest(jax.random.bits(class_key, counts.shape), ways)
    ranks = jax.random.bits(image_key, (ways, largest)) >> 1
    ranks = jnp.where(jnp.arange(largest) < counts[classes][:, None], ranks, jnp.uint32(2**32 - 1))
    return starts[classes][:, None] + smallest(ranks, per_class)


def smallest(ranks: Array, k: int) -> Array:
    """Indices [..., k] of the k smallest entries of ranks uint32 [..., n], ties to the first."""
    return jax.lax.top_k(~ranks, k)[1]


def make_task(images: Array, indices: Array, shots: int) -> Task:
    """The task, not yet prepared, whose class n has images at indices[n]: `shots` of support, then queries."""
    labels = jnp.broadcast_to(jnp.arange(len(indices), dtype=jnp.int32)[:, None], indices.shape)
    support, query = indices[:, :shots].reshape(-1), indices[:, shots:].reshape(-1)
    return Task(images[support], labels[:, :shots].reshape(-1), images[query], labels[:, shots:].reshape(-1))


def standardise(dataset: Dataset) -> Prepare:
    """uint8 images [..., Ch] -> float32, with mean 0 and standard deviation 1 per channel over the training split."""
    mean, std = np.asarray(dataset.mean, np.float32), np.asarray(dataset.std, np.float32)
    return lambda x: (x.astype(jnp.float32) / 255 - mean) / std


def task_sampler(
    largest: int, ways: int, shots: int, queries: int, prepare: Prepare, augment: Transform | None = None
) -> Callable[[Key, ClassSource], Task]:
    """`(key, source) -> Task`, for use inside a jitted step; augment alters every support and query image by itself."""

    def sample(key: Key, source: ClassSource) -> Task:
        key, support_key, query_key = jax.random.split(key, 3)
        indices = episode_indices(key, source.starts, source.counts, largest, ways, shots + queries)
        task = make_task(source.images, indices, shots)
        support_x, query_x = task.support_x, task.query_x
        if augment is not None:
            support_x, query_x = augment(support_key, support_x), augment(query_key, query_x)
        return task._replace(support_x=prepare(support_x), query_x=prepare(query_x))

    return sample


def batch_sampler(size: int, prepare: Prepare, augment: Transform | None = None) -> Callable[[Key, ClassSource], Batch]:
    """`(key, source) -> Batch` of `size` images drawn uniformly, labelled by class of the split."""

    def sample(key: Key, source: ClassSource) -> Batch:
        key, augment_key = jax.random.split(key)
        indices = jax.random.randint(key, (size,), 0, len(source.images))
        labels = jnp.searchsorted(source.starts, indices, side="right").astype(jnp.int32) - 1
        x = source.images[indices]
        return Batch(prepare(x if augment is None else augment(augment_key, x)), labels)

    return sample


def turn(batch: Batch) -> Batch:
    """The batch with its first quarter as it is, the second turned once by 90 degrees, and so on; and told so."""
    parts = jnp.array_split(batch.x, 4)
    x = jnp.concatenate([jnp.rot90(part, k, (1, 2)) for k, part in enumerate(parts)])
    return batch._replace(x=x, turns=jnp.concatenate([jnp.full(len(part), k) for k, part in enumerate(parts)]))


def episode_hash(indices: np.ndarray) -> str:
    """First 16 hexadecimal digits of the SHA-256 of an episode list [E, ways, per_class], as little-endian int32."""
    return hashlib.sha256(np.ascontiguousarray(indices, "<i4").tobytes()).hexdigest()[:16]
