"""The first layer's input: patches of the images, and the moments that follow from theirs.

No parameter changes them, so an inner loop computes them once per episode and not at every step.
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
    """Images made ready for a 3x3 convolution: all that does not depend on its weights.

    The mean and variance of each filter's output follow exactly from those of the patches, because
    a convolution is linear: w' m and w' C w.

    Attributes:
      patches: [B,H',W',P], neighbourhoods of 3x3 places of the images; of 4x4 with windows.
      mean: [P], m, over images and places.
      covariance: [P,P], C, over images and places.
      windows: whether one patch serves the four places of a 2x2 window that is pooled next: 16/9 of
        the products, but a quarter of the patches, and the four places come as four arrays, ready
        for their maximum.
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
        """Convolution with w [3,3,Ch,F]: [B,H',W',F], one array for each place of a window."""
        flat = self.patches.reshape(-1, self.patches.shape[-1])
        made = [
            product(flat, weights.astype(flat.dtype)).astype(self.mean.dtype)
            for weights in self._weights(w)
        ]
        return [y.reshape(*self.patches.shape[:3], -1) for y in made]

    def moments(self, w: Array) -> tuple[Array, Array]:
        """Mean [F] and variance [F] of the convolution with w over images and places."""
        weights = jnp.stack(self._weights(w))
        # Without windows there is one matrix of weights, and the last term is zero. With them the
        # variance over all places is that within places plus that of the places' means
        means = exact(self.mean, weights)
        squares = (weights * exact(self.covariance, weights)).sum(1)
        var = squares.mean(0) + means.var(0)
        return means.mean(0), jnp.maximum(var, 0)  # rounding may take one near zero below it

    def _weights(self, w: Array) -> list[Array]:
        """w as matrices [P,F], one for each place that a patch serves."""
        # A place of the 2x2 window sees a 3x3 part of the 4x4 patch: its kernel is zero elsewhere
        shifts = [(i, j) for i in (0, 1) for j in (0, 1)] if self.windows else []
        moved = [jnp.pad(w, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))) for i, j in shifts] or [w]
        return [v.reshape(self.patches.shape[-1], -1) for v in moved]


# These products are small. Of numbers rounded to fewer digits, as accelerators take them by
# default, variances may be far below zero
exact = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def prepare(
    x: Array, stride: int = 1, dtype: jnp.dtype = jnp.float32, windows: bool = False
) -> Prepared:
    """Images made ready for 3x3 convolutions with changing weights.

    Args:
      x: [B,H,W,Ch]; H and W are even with windows.
      stride: of the convolutions, 1 with windows.
      dtype: of the products' inputs; moments are in the type of x.
      windows: see `Prepared`.
    """
    p = _windows(x.astype(dtype)) if windows else patches(x.astype(dtype), 3, stride)
    flat = p.reshape(-1, p.shape[-1]).astype(x.dtype)
    mean = flat.mean(0)
    # Centred before the product: a mean square less a squared mean would lose digits
    covariance = exact((flat - mean).T, flat - mean) / len(flat)
    return Prepared(p, mean, covariance, windows)


def _windows(x: Array) -> Array:
    """Neighbourhoods [B, H/2, W/2, 16*Ch] of windows of 2x2 places, zero-padded at the border."""
    n, height, width, channels = x.shape
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    # In pairs of columns: 8 strided copies of twice the channels instead of 16
    pairs = [x[:, i : i + height : 2, j : j + width] for i in range(4) for j in (0, 2)]
    return jnp.concatenate(
        [pair.reshape(n, height // 2, width // 2, 2 * channels) for pair in pairs], -1
    )
