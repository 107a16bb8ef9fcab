"""Episodes drawn on the device, from a split in its memory.

An episode is first a table of positions in the split, then images. The positions depend on the key
and on the class sizes alone, so every method sees the same episodes.
"""

import hashlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.data.shares import FEWEST, classes_needed
from metalearn.data.source import Split
from metalearn.errors import UserError
from metalearn.types import Array, ClassSource, Key, Task

Prepare = Callable[[Array], Array]  # uint8 images -> float32
Transform = Callable[[Key, Array], Array]  # uint8 images -> uint8 images


def class_places(split: Split, rotations: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Starts and counts, int32 [C], of the classes; with rotations=4, four times as many."""
    counts = np.tile(np.asarray(split.counts, np.int32), rotations)
    return np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int32), counts


def as_source(split: Split, rotations: int = 1) -> ClassSource:
    """The split as NumPy arrays, to be put on devices.

    With rotations=4, the classes turned by 90, 180 and 270 degrees follow as classes of their own.
    Memory-mapped images stay so: the devices of a CPU then all read the same pages of the file.
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
    """Checks that episodes of this shape can be drawn, whichever classes of the split they have.

    Args:
      split: with the images counted by class.
      where: what the split is called in messages.
      ways: N.
      shots: K.
      queries: query images a class.
      rotations: 4 where each class is four classes.
      by_seed: whether a seed shared out the classes, so that more of them make every split larger.

    Raises:
      UserError: a number below one, too few classes, or a class with too few images.
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
            f"{shots} shots + {queries} queries: lower shots or queries, or add images"
        )


def episode_indices(
    key: Key, starts: Array, counts: Array, largest: int, ways: int, per_class: int
) -> Array:
    """Positions [ways, per_class] of distinct images of distinct classes, uniformly at random.

    Args:
      key: of the episode.
      starts: [C], position of each class's first image.
      counts: [C], images of each class, at least per_class.
      largest: size of the largest class, known before tracing.
      ways: N.
      per_class: K support images and the queries of a class.

    Example: three of five classes with four images each, two images of every one.

        >>> import jax, jax.numpy as jnp
        >>> from metalearn.data.episodes import episode_indices
        >>> starts, counts = jnp.arange(0, 20, 4), jnp.full(5, 4)
        >>> indices = episode_indices(jax.random.key(0), starts, counts, 4, ways=3, per_class=2)
        >>> classes = indices[:, 0] // 4
        >>> indices.shape, len(jnp.unique(classes)), len(jnp.unique(indices))
        ((3, 2), 3, 6)
    """
    # Drawing without replacement: every class gets a random number, and those with the smallest
    # are taken. Numbers are integers of the threefry generator, which are the same bits on every
    # backend; their order needs no rounding, unlike that of floats
    class_key, image_key = jax.random.split(key)
    classes = smallest(jax.random.bits(class_key, counts.shape, jnp.uint32), ways)
    # Shapes are those of the largest class. A number of 31 bits is smaller than 2^32 - 1, which
    # places beyond the end of a smaller class get: they are never taken
    ranks = jax.random.bits(image_key, (ways, largest), jnp.uint32) >> 1
    ranks = jnp.where(jnp.arange(largest) < counts[classes][:, None], ranks, jnp.uint32(2**32 - 1))
    return starts[classes][:, None] + smallest(ranks, per_class)


def smallest(ranks: Array, k: int) -> Array:
    """Indices [..., k] of the k smallest entries of ranks uint32 [..., n], ties to the first."""
    # ~ reverses the order of unsigned integers; a minus sign would leave 0 the smallest
    return jax.lax.top_k(~ranks, k)[1]


def make_task(images: Array, indices: Array, shots: int) -> Task:
    """The task whose class n has the images at indices[n]; see `as_task`."""
    return as_task(images[indices], shots)


def as_task(images: Array, shots: int) -> Task:
    """The task of images [N,K+Q,...]: of each class `shots` support images, then its queries.

    Images stay as they are (uint8), and labels are the rows, 0 to N - 1.
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


def episode_hash(indices: np.ndarray) -> str:
    """The name of an episode list [E, ways, per_class]: 16 hexadecimal digits of its SHA-256.

    It is taken over little-endian int32, so it is the same on every machine.
    """
    return hashlib.sha256(np.ascontiguousarray(indices, "<i4").tobytes()).hexdigest()[:16]
