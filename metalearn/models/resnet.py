"""ResNet-12, the deeper network of the few-shot literature."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from metalearn.models.conv import conv, max_pool
from metalearn.models.module import Module
from metalearn.models.norms import Norm
from metalearn.types import Array

OWN_KERNELS = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class DropBlock(Module):
    """Drop square regions of feature maps x [B,H,W,F], and rescale what is kept.

    Ghiasi et al. 2018. Each channel of each image drops `size` x `size` squares of its own, so that
    about `rate` of the elements are dropped. With size 1 this is dropout.
    """

    rate: float
    size: int

    @nn.compact
    def __call__(self, x: Array, deterministic: bool) -> Array:
        if deterministic or self.rate == 0:
            return x
        _, height, width, _ = x.shape
        size = min(self.size, height, width)
        places = (height - size + 1) * (width - size + 1)
        # Equation 1: corners are drawn where a whole square fits, each drops size^2 elements
        gamma = self.rate / size**2 * height * width / places
        corner = jax.random.bernoulli(
            self.make_rng("dropout"),
            gamma,
            (len(x), height - size + 1, width - size + 1, x.shape[-1]),
        )
        # An element is dropped if any of the size^2 corners whose squares hold it was drawn
        spread = jnp.pad(corner, ((0, 0), (size - 1, size - 1), (size - 1, size - 1), (0, 0)))
        dropped = jnp.zeros(x.shape, bool)
        for i in range(size):
            for j in range(size):
                dropped |= spread[:, i : i + height, j : j + width]
        # Squares overlap, so the share kept is counted, not expected
        keep = (~dropped).astype(x.dtype)
        return x * keep * (keep.size / jnp.maximum(keep.sum(), 1.0))


class ResNet12(Module):
    """Four residual blocks of three 3x3 convolutions, each 2x2 max-pooled; [B,H,W,Ch] -> [B,D].

    Lee et al. 2019 (MetaOptNet): leaky ReLU of slope 0.1, widths 64-160-320-640, dropout 0.1 in the
    first two blocks and DropBlock in the last two (5 for 84-pixel images, 2 for 32), features
    flattened. Tian et al. 2020 (RFS) averages over places instead.
    Deviation: DropBlock drops at its full rate from the start (there it grows over 40,000 passes).

    Attributes:
      widths: filters of each block.
      readout: `mean` over places, or `flatten`.
      norm: kind of `Norm`.
      drop: rate of dropout and DropBlock.
      dropblock: side of the dropped squares in the last two blocks.
      shared: see `conv`.
      kernel_init: of the kernels; None for He et al. 2015.
    """

    widths: Sequence[int] = (64, 160, 320, 640)
    readout: str = "mean"
    norm: str = "batch"
    drop: float = 0.1
    dropblock: int = 2
    dtype: jnp.dtype = jnp.float32
    shared: bool = False
    kernel_init: nn.initializers.Initializer | None = None

    @nn.compact
    def __call__(self, x: Array, deterministic: bool = True) -> Array:
        for i, width in enumerate(self.widths):
            x = self._block(x, width, f"block{i}")
            size = self.dropblock if i >= 2 else 1
            x = DropBlock(self.drop, size, name=f"drop{i}")(x, deterministic)
        return x.mean((1, 2)) if self.readout == "mean" else x.reshape(x.shape[0], -1)

    def _block(self, x: Array, width: int, name: str) -> Array:
        def unit(x: Array, kernel: int, part: str) -> Array:
            w = self.param(
                f"{name}_{part}",
                self.kernel_init or OWN_KERNELS,
                (kernel, kernel, x.shape[-1], width),
            )
            return Norm(self.norm, name=f"{name}_{part}_norm")(
                conv(x, w, 1, self.dtype, self.shared)
            )

        y = nn.leaky_relu(unit(x, 3, "conv0"), 0.1)
        y = nn.leaky_relu(unit(y, 3, "conv1"), 0.1)
        y = unit(y, 3, "conv2") + unit(x, 1, "shortcut")
        y = nn.leaky_relu(y, 0.1)
        return max_pool(y) if min(y.shape[1:3]) > 1 else y
