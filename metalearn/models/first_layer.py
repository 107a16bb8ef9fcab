"""The first layer, whose input no weight changes: its patches, and what their moments tell, are at
hand beforehand.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from metalearn.models.conv import patches, product
from metalearn.types import Array


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["patches", "mean", "covariance"],
    meta_fields=["windows"],
)
@dataclass(frozen=True)
class Prepared:
    """What a 3x3 convolution of images needs but the weights.

    The moments of each filter's output over images and places are functions of the patches' own.

    Attributes:
      patches: [B,H',W',P], neighbourhoods of 3x3 places of the images; with windows of 4x4.
      mean: [P].
      covariance: [P,P].
      windows: one patch serves the four places of a 2x2 window that is pooled next: 16/9 of the
        products, but a quarter of the patches, and the places of a window come apart from each
        other, ready for their maximum.
    """

    patches: Array
    mean: Array
    covariance: Array
    windows: bool

    @property
    def channels(self) -> int:
        """Ch of the images."""
        return self.patches.shape[-1] // (16 if self.windows else 9)

    def conv(self, w: Array) -> list[Array]:
        """Convolution with w [3,3,Ch,F]: its result [B,H',W',F], or that at each of a window's four
        places.
        """
        flat = self.patches.reshape(-1, self.patches.shape[-1])
        made = [
            product(flat, weights.astype(flat.dtype)).astype(self.mean.dtype)
            for weights in self._weights(w)
        ]
        return [y.reshape(*self.patches.shape[:3], -1) for y in made]

    def moments(self, w: Array) -> tuple[Array, Array]:
        """Mean [F] and variance [F] of the convolution with w over images and places."""
        weights = jnp.stack(self._weights(w))
        means = self.mean @ weights
        squares = (weights * (self.covariance @ weights)).sum(1)
        return means.mean(0), squares.mean(0) + means.var(0)

    def _weights(self, w: Array) -> list[Array]:
        """w as matrices [P,F], one of each place that a patch serves."""
        shifts = [(i, j) for i in (0, 1) for j in (0, 1)] if self.windows else []
        moved = [jnp.pad(w, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))) for i, j in shifts] or [w]
        return [v.reshape(self.patches.shape[-1], -1) for v in moved]


def prepare(
    x: Array, stride: int = 1, dtype: jnp.dtype = jnp.float32, windows: bool = False
) -> Prepared:
    """Images x [B,H,W,Ch] made ready for 3x3 convolutions; H and W are even for windows, and stride
    1.
    """
    p = _windows(x.astype(dtype)) if windows else patches(x.astype(dtype), 3, stride)
    flat = p.reshape(-1, p.shape[-1]).astype(x.dtype)
    mean = flat.mean(0)
    return Prepared(p, mean, (flat - mean).T @ (flat - mean) / len(flat), windows)


def _windows(x: Array) -> Array:
    """Neighbourhoods [B, H/2, W/2, 16*Ch] of windows of 2x2 places, zero-padded at the border."""
    n, height, width, channels = x.shape
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    pairs = [x[:, i : i + height : 2, j : j + width] for i in range(4) for j in (0, 2)]
    return jnp.concatenate(
        [pair.reshape(n, height // 2, width // 2, 2 * channels) for pair in pairs], -1
    )
