"""Conv4, the four-block network of nearly every few-shot paper."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from metalearn.base import Array
from metalearn.models.conv import conv
from metalearn.models.norms import Norm


class Conv4(nn.Module):
    """Blocks of 3x3 convolution, normalisation, ReLU and halving; images [B,H,W,Ch] -> features [B,D].

    Vinyals et al. 2016 and Snell et al. 2017: 64 filters, max-pool, flattened. Finn et al. 2017: 32 filters for
    miniImageNet; for Omniglot 64 filters, stride 2 in place of pooling, features averaged over places.

    Attributes:
      widths: filters of each block.
      downsample: `pool` (2x2 maximum after normalisation) or `stride` (stride-2 convolution).
      readout: `flatten` or `mean` over places.
      norm: kind of `Norm`. Kernels have a bias only where the normalisation would not cancel it.
    """

    widths: Sequence[int] = (64, 64, 64, 64)
    downsample: str = "pool"
    readout: str = "flatten"
    norm: str = "batch"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, deterministic: bool = True) -> Array:
        pooled = self.downsample == "pool"
        for i, width in enumerate(self.widths):
            w = self.param(f"conv{i}", nn.initializers.glorot_uniform(), (3, 3, x.shape[-1], width))
            y = conv(x, w, stride=1 if pooled else 2, dtype=self.dtype)
            pool = 2 if pooled and min(y.shape[1:3]) > 1 else 1
            x = nn.relu(Norm(self.norm, pool, name=f"norm{i}")(y))
        return x.mean((1, 2)) if self.readout == "mean" else x.reshape(x.shape[0], -1)
