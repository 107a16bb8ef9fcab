"""Splits too large for a device: images stay memory-mapped on the host, fetched by position."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from metalearn.data.episodes import class_places
from metalearn.data.source import Split
from metalearn.types import Array, ClassSource

# Of some rows of a split: their images and None, or the rows and all images
Block = tuple[Array | np.ndarray, Array | None]


class HostImages:
    """The images of a split, uint8 [M,H,W,Ch], read from disk when indexed by arrays of positions.

    With rotations=4 the classes turned by 90, 180 and 270 degrees follow, in the order of
    `episodes.to_device`.
    """

    def __init__(self, images: np.ndarray, rotations: int = 1):
        self._images = images
        self._rotations = rotations
        self.shape = (len(images) * rotations, *images.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """uint8 [...,H,W,Ch] of the images at positions int [...]."""
        rows = np.asarray(rows)
        turns, places = np.divmod(rows.reshape(-1), len(self._images))
        found = np.asarray(self._images[places])
        for turn in range(1, self._rotations):
            mine = turns == turn
            found[mine] = np.rot90(found[mine], turn, axes=(1, 2))
        return found.reshape(*rows.shape, *self.shape[1:])


def to_host(split: Split, rotations: int = 1) -> ClassSource:
    """The split as `to_device` gives it, but with `HostImages`, which no jitted function takes."""
    starts, counts = class_places(split, rotations)
    images: Any = HostImages(split.images, rotations)
    return ClassSource(images, jnp.asarray(starts), jnp.asarray(counts))


def fetched(images: Array | HostImages, rows: np.ndarray) -> tuple[np.ndarray, Array | None]:
    """Arguments of a jitted function that gets the images at these rows by `taken`.

    From the device, the rows and all images; from the host, the images of the rows and None.
    """
    return (images[rows], None) if isinstance(images, HostImages) else (rows, images)


def taken(rows: Array, images: Array | None) -> Array:
    """The images of the rows, from the two values that `fetched` gave."""
    return rows if images is None else images[rows]


def gatherer(mesh: Mesh) -> Callable[[Array | HostImages, np.ndarray], Block]:
    """`(images, rows) -> ` images of these rows of a split and None, shared out over the mesh.

    By a program of its own: the one that takes them is then the same for every split, and is found
    in the compilation cache at the test after a validation.

    Args:
      mesh: its axis `tasks` shares out the rows.
    """
    gather = jax.jit(taken, out_shardings=NamedSharding(mesh, P("tasks")))

    def block_of(images: Array | HostImages, rows: np.ndarray) -> Block:
        found, there = fetched(images, rows)
        # Those from the host are not sent to every device whole
        return (found, None) if there is None else (gather(found, there), None)

    return block_of
