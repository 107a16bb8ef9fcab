"""Splits too large for a device: images stay memory-mapped on the host, fetched by position."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from metalearn.data.episodes import class_places
from metalearn.data.source import Split
from metalearn.types import Array, ClassSource


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
