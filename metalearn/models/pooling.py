"""Maxima and averages over windows, as sums and maxima of shifted images."""

import functools
import operator

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from metalearn.models.conv import largest
from metalearn.types import Array


def max_pool(x: Array, size: int, stride: int, padding: int) -> Array:
    """Maxima of size x size windows of x [B,H,W,F], incomplete ones dropped; the border is nothing.

    The gradient goes to the first of equal maxima.

    Args:
      x: maps.
      size: of a window.
      stride: between windows.
      padding: places around the maps, which are never a maximum.
    """
    around = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = jnp.pad(x, around, constant_values=-jnp.inf) if padding else x
    return largest(_views(padded, size, stride))


def average_pool3(x: Array, counted: bool) -> Array:
    """Means of all 3x3 windows of x [B,H,W,F], centred on its places.

    counted: zeros beyond the border count as places (PyTorch); else they do not (TensorFlow).
    """
    around = ((0, 0), (1, 1), (1, 1), (0, 0))
    total = functools.reduce(operator.add, _views(jnp.pad(x, around), 3, 1))
    if counted:
        return total / 9
    (rows, cols) = (_neighbours(extent) for extent in x.shape[1:3])
    return total / jnp.asarray(rows[:, None, None] * cols[:, None], x.dtype)


def _neighbours(extent: int) -> np.ndarray:
    """How many of three places around each of an axis lie on it."""
    return np.convolve(np.ones(extent), np.ones(3))[1:-1]


def _views(x: Array, size: int, stride: int) -> list[Array]:
    tall = x.shape[1] - size + 1
    wide = x.shape[2] - size + 1
    return [
        x[:, i : i + tall : stride, j : j + wide : stride] for i in range(size) for j in range(size)
    ]


class Average(nn.Module):
    """The mean over places; x [B,H,W,F] -> [B,F]."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return x.mean((1, 2))
