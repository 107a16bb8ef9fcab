"""Conv4, the four-block network of nearly every few-shot paper."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from metalearn.models.conv import conv
from metalearn.models.first_layer import Prepared, prepare
from metalearn.models.module import Module
from metalearn.models.norms import Norm
from metalearn.types import Array

OWN_KERNELS = nn.initializers.glorot_uniform()


class Conv4(Module):
    """Blocks of 3x3 convolution, normalisation, ReLU and halving; [B,H,W,Ch] -> [B,D].

    Vinyals et al. 2016 and Snell et al. 2017: 64 filters, max-pool, flattened. Finn et al. 2017: 32
    filters for miniImageNet; for Omniglot 64 filters, stride 2 in place of pooling, features
    averaged over places (Nichol et al. 2018, released code: flattened). Bertinetto et al. 2019,
    released code: 96-192-384-512 or 64 filters, leaky ReLU, dropout, and as features the maxima of
    the last two blocks (once more, of the one before the last) over windows that overlap (stride
    1). Sung et al. 2018: only the first two blocks halve, and the map of the last one is the
    output. Tian et al. 2020, released code: the last block does not halve, and its map is averaged
    over places.

    Attributes:
      widths: filters of each block.
      downsample: `pool` (2x2 maximum after normalisation) or `stride` (stride-2 convolution).
      halved: number of blocks that halve, the first ones.
      readout: `flatten`, `mean` over places, `last two` blocks (2x2 maxima at stride 1, flattened
        and joined), or `map` [B,H,W,F].
      norm: kind of `Norm`, whose shift is each channel's bias: kernels have none (`group` and
        `layer` would not cancel one).
      slope: of the ReLU below zero.
      drop: rate of dropout after each of the last two blocks.
      shared: see `conv`.
      kernel_init: of the kernels; None for the network's own, Glorot & Bengio 2010.
    """

    widths: Sequence[int] = (64, 64, 64, 64)
    downsample: str = "pool"
    halved: int = 4
    readout: str = "flatten"
    norm: str = "batch"
    slope: float = 0.0
    drop: float = 0.0
    dtype: jnp.dtype = jnp.float32
    shared: bool = False
    kernel_init: nn.initializers.Initializer | None = None

    def prepare(self, x: Array) -> Prepared:
        """The first layer's patches of images x [B,H,W,Ch], for passes with changing kernels."""
        return prepare(x, self._stride(0), self.dtype, self._windows(x))

    @nn.compact
    def __call__(self, images: Array | Prepared, deterministic: bool = True) -> Array:
        """Features of the images, or of images that `prepare` has made ready."""
        x = images
        outputs = []
        # The form by windows serves a single pass too, without an inner loop
        if not isinstance(x, Prepared) and self._windows(x):
            x = self.prepare(x)
        for i, width in enumerate(self.widths):
            y = self._block(i, x, width)
            if self.readout == "last two" and i == len(self.widths) - 1:
                y = _overlapping(y)
            if self.drop and i >= len(self.widths) - 2:
                y = nn.Dropout(self.drop, deterministic=deterministic)(y)
            outputs.append(y)
            x = y
        if self.readout in ("map", "mean"):
            return outputs[-1] if self.readout == "map" else outputs[-1].mean((1, 2))
        kept = (
            [_overlapping(outputs[-2]), outputs[-1]] if self.readout == "last two" else outputs[-1:]
        )
        return jnp.concatenate([y.reshape(len(y), -1) for y in kept], -1)

    def _block(self, i: int, x: Array | Prepared, width: int) -> Array:
        channels = x.channels if isinstance(x, Prepared) else x.shape[-1]
        w = self.param(f"conv{i}", self.kernel_init or OWN_KERNELS, (3, 3, channels, width))
        if isinstance(x, Prepared):
            # Patches and their moments do not change with w: both are computed once per episode
            y = x.conv(w)
            moments = x.moments(w)
            pools = x.windows or self._pools(i, x.patches)
        else:
            y = [conv(x, w, self._stride(i), self.dtype, self.shared)]
            moments = None
            pools = self._pools(i, x)
        z = Norm(self.norm, 2 if pools else 1, name=f"norm{i}")(y, moments)
        return nn.leaky_relu(z, self.slope) if self.slope else nn.relu(z)

    def _stride(self, block: int) -> int:
        return 2 if self.downsample == "stride" and block < self.halved else 1

    def _pools(self, block: int, x: Array) -> bool:
        return self.downsample == "pool" and block < self.halved and min(x.shape[1:3]) > 1

    def _windows(self, x: Array) -> bool:
        """Whether the first layer works on the whole 2x2 windows that are pooled after it.

        Not with moments per image (`group`, `layer`): those of the patches are over all images.
        """
        return self.norm == "batch" and self._pools(0, x) and x.shape[1] % 2 == x.shape[2] % 2 == 0


def _overlapping(x: Array) -> Array:
    """Maxima of all 2x2 windows of x [B,H,W,C] at stride 1; a smaller map stays as it is."""
    return nn.max_pool(x, (2, 2)) if min(x.shape[1:3]) > 1 else x
