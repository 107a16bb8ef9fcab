"""Pixels as features: grey, small, in rows of length one."""

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.data.inputs import recoloured, resized
from metalearn.errors import UserError

ROWS = 2048  # images at a time


def pixel_rows(images: np.ndarray, side: int) -> np.ndarray:
    """Grey pixels float32 [M,side*side] of images, each row of length one.

    Digits are so compared in the papers on shallow adaptation: USPS's 16 x 16 (Long et al. 2013).
    A black image stays zeros.

    Args:
      images: uint8 [M,h,w,c], c 1 or 3.
      side: height and width that they are resized to, in pixels.

    Raises:
      UserError: images with other channels.
    """
    if images.shape[-1] not in (1, 3):
        raise UserError(
            f"images of {images.shape[-1]} channels cannot be made grey: give 1 or 3, or features "
            "of a body"
        )
    parts = [
        np.asarray(_small(jnp.asarray(images[first : first + ROWS]), side))
        for first in range(0, len(images), ROWS)
    ]
    rows = np.concatenate([np.zeros((0, side * side), np.float32), *parts])
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def _small(images: jax.Array, side: int) -> jax.Array:
    grey = recoloured(images.astype(jnp.float32), 1)
    return resized(grey, (side, side)).reshape(len(images), -1)
