"""Episodes and batches drawn on the device, from a split that lies there.

An episode is first a table of positions, then images. The positions depend on the key and on the
class sizes alone: every method sees the same episodes, whatever it does with them.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.data.shares import FEWEST, classes_needed
from metalearn.data.source import Split
from metalearn.errors import UserError
from metalearn.types import Array, Batch, ClassSource, Key, Task

Prepare = Callable[[Array], Array]  # uint8 images -> float32
Transform = Callable[[Key, Array], Array]  # uint8 images -> uint8 images


@dataclass(frozen=True)
class Sampler:
    """Draws a training task or batch; in two halves where the images between are fetched by someone
    else.

    Attributes:
      rows: `(key, starts [C], counts [C]) -> int32 [...]`, positions of its images in the split.
      make: `(key, source) -> Task | Batch`, of a source whose images [R,H,W,Ch] are those at
        `rows`, flattened.
    """

    rows: Callable[[Key, Array, Array], Array]
    make: Callable[[Key, ClassSource], Any]

    def __call__(self, key: Key, source: ClassSource) -> Any:
        """Both halves, from a source with the images of the whole split."""
        rows = self.rows(key, source.starts, source.counts).reshape(-1)
        return self.make(key, source._replace(images=source.images[rows]))


def class_places(split: Split, rotations: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Starts and counts, int32 [C], of the classes; with rotations=4, each stands there four
    times.
    """
    counts = np.tile(np.asarray(split.counts, np.int32), rotations)
    return np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int32), counts


def as_source(split: Split, rotations: int = 1) -> ClassSource:
    """The split in NumPy's arrays, for devices to be given; with rotations=4, each class also
    turned by 90, 180, 270.

    Images that are mapped from a file stay so: devices of a CPU then read them where they are, all
    of them the same.
    """
    images = np.asarray(split.images)
    if rotations > 1:
        images = np.concatenate([np.rot90(images, turn, axes=(1, 2)) for turn in range(rotations)])
    starts, counts = class_places(split, rotations)
    return ClassSource(np.ascontiguousarray(images), starts, counts)  # type: ignore[arg-type]


def to_device(split: Split, rotations: int = 1) -> ClassSource:
    """`as_source` on the default device."""
    return ClassSource(*map(jnp.asarray, as_source(split, rotations)))


def check(
    split: Split,
    where: str,
    ways: int,
    shots: int,
    queries: int,
    rotations: int = 1,
    by_seed: bool = False,
) -> None:
    """Raise `UserError` unless episodes of this shape can be drawn from every class of the split.

    by_seed says that a seed shared out the classes, so that more of them make every split larger.
    """
    for name, value in (("ways", ways), ("shots", shots), ("queries", queries)):
        if value < 1:
            raise UserError(f"{name} must be at least 1, not {value}: set --{name}")
    classes = len(split.counts) * rotations
    if ways > classes:
        lower = "lower the ways" if classes >= FEWEST else ""
        needed = f"bring {classes_needed(ways)} classes or more for the seed to split"
        more = needed if by_seed else ""
        advice = " or ".join(filter(None, (lower, more))) or "add classes"
        lacking = f"{ways}-way episodes need {ways} classes, but {where} has {classes}"
        raise UserError(f"{lacking}: {advice}")
    least = int(np.argmin(split.counts))
    if split.counts[least] < shots + queries:
        raise UserError(
            f"class '{split.names[least]}' of {where} has {split.counts[least]} images, fewer than "
            f"{shots} shots + "
            f"{queries} queries: lower shots or queries, or add images"
        )


def episode_indices(
    key: Key, starts: Array, counts: Array, largest: int, ways: int, per_class: int
) -> Array:
    """Positions [ways, per_class] of distinct images of distinct classes, uniformly at random.

    Integer keys are ranked, so that the same episode comes out on every backend. largest is the
    size of the largest class, known before tracing.
    """
    class_key, image_key = jax.random.split(key)
    classes = smallest(jax.random.bits(class_key, counts.shape, jnp.uint32), ways)
    ranks = jax.random.bits(image_key, (ways, largest), jnp.uint32) >> 1
    ranks = jnp.where(jnp.arange(largest) < counts[classes][:, None], ranks, jnp.uint32(2**32 - 1))
    return starts[classes][:, None] + smallest(ranks, per_class)


def smallest(ranks: Array, k: int) -> Array:
    """Indices [..., k] of the k smallest entries of ranks uint32 [..., n], ties to the first."""
    return jax.lax.top_k(~ranks, k)[1]


def make_task(images: Array, indices: Array, shots: int) -> Task:
    """The task, not yet prepared, whose class n has images at indices[n]: `shots` of support, then
    queries.
    """
    return as_task(images[indices], shots)


def as_task(images: Array, shots: int) -> Task:
    """The task, not yet prepared, of images [N,K+Q,...]: of each class `shots` of support, then
    queries.
    """
    labels = jnp.broadcast_to(jnp.arange(len(images), dtype=jnp.int32)[:, None], images.shape[:2])

    def flat(x: Array) -> Array:
        return x.reshape(-1, *x.shape[2:])

    return Task(
        flat(images[:, :shots]),
        flat(labels[:, :shots]),
        flat(images[:, shots:]),
        flat(labels[:, shots:]),
    )


def task_sampler(
    largest: int,
    ways: int,
    shots: int,
    queries: int,
    prepare: Prepare,
    augment: Transform | None = None,
    most_shots: int = 0,
) -> Sampler:
    """`(key, source) -> Task`, for use inside a jitted step; augment alters every support and query
    image by itself.

    With most_shots, how many of the K+Q images of each class are support is drawn from 1 to that,
    and told in
    `Task.shots`: the task itself is cut as ever.
    """

    def rows(key: Key, starts: Array, counts: Array) -> Array:
        return episode_indices(
            jax.random.split(key, 3)[0], starts, counts, largest, ways, shots + queries
        )

    def make(key: Key, source: ClassSource) -> Task:
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
            drawn = jax.random.randint(jax.random.fold_in(key, 3), (), 1, most_shots + 1)
        return task._replace(support_x=prepare(support_x), query_x=prepare(query_x), shots=drawn)

    return Sampler(rows, make)


def batch_sampler(size: int, prepare: Prepare, augment: Transform | None = None) -> Sampler:
    """`(key, source) -> Batch` of `size` images drawn uniformly, labelled by class of the split."""

    def rows(key: Key, starts: Array, counts: Array) -> Array:
        images = starts[-1] + counts[-1]
        return jax.random.randint(jax.random.split(key)[0], (size,), 0, images, jnp.int32)

    def make(key: Key, source: ClassSource) -> Batch:
        labels = jnp.searchsorted(
            source.starts, rows(key, source.starts, source.counts), side="right"
        )
        x = source.images if augment is None else augment(jax.random.split(key)[1], source.images)
        return Batch(prepare(x), labels.astype(jnp.int32) - 1)

    return Sampler(rows, make)


def turn(batch: Batch) -> Batch:
    """The batch with its first quarter as it is, the second turned once by 90 degrees, and so on;
    and told so.
    """
    parts = jnp.array_split(batch.x, 4)
    x = jnp.concatenate([jnp.rot90(part, k, (1, 2)) for k, part in enumerate(parts)])
    turns = [jnp.full(len(part), k, jnp.int32) for k, part in enumerate(parts)]
    return batch._replace(x=x, turns=jnp.concatenate(turns))


def turn_all(batch: Batch) -> Batch:
    """The batch four times as large, each image as it is and turned by 90, 180 and 270 degrees; and
    told so.
    """
    x = jnp.concatenate([jnp.rot90(batch.x, k, (1, 2)) for k in range(4)])
    turns = jnp.repeat(jnp.arange(4), len(batch.x))
    return batch._replace(x=x, y=jnp.tile(batch.y, 4), turns=turns)


def episode_hash(indices: np.ndarray) -> str:
    """First 16 hexadecimal digits of the SHA-256 of an episode list [E, ways, per_class], as
    little-endian int32.
    """
    return hashlib.sha256(np.ascontiguousarray(indices, "<i4").tobytes()).hexdigest()[:16]
