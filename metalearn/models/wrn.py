"""Wide residual networks."""

import flax.linen as nn
import jax.numpy as jnp

from metalearn.models.conv import conv
from metalearn.models.module import Module
from metalearn.models.norms import Norm
from metalearn.types import Array

OWN_KERNELS = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class WideResNet(Module):
    """WRN-d-k of Zagoruyko & Komodakis 2016, section 2: [B,H,W,Ch] -> [B,64k].

    A convolution of 16 filters, then three groups of (d - 4) / 6 pre-activated blocks of two 3x3
    convolutions, with 16k, 32k and 64k filters; the second and third group halve, and the last
    map is averaged over places. Dhillon et al. 2020 fine-tune WRN-28-10.

    Deviation: where a block halves maps of even sides, padding is as in TensorFlow, so its
    convolutions are centred one pixel beside the shortcut's; there both are at the same pixel.

    Attributes:
      depth: d.
      widen: k.
      norm: kind of `Norm`.
      shared: see `conv`.
      kernel_init: of the kernels; None for He et al. 2015.
    """

    depth: int = 28
    widen: int = 10
    norm: str = "batch"
    dtype: jnp.dtype = jnp.float32
    shared: bool = False
    kernel_init: nn.initializers.Initializer | None = None

    @nn.compact
    def __call__(self, x: Array, deterministic: bool = True) -> Array:
        x = self._conv(x, 16, 3, 1, "conv")
        for i, width in enumerate((16, 32, 64)):
            for j in range((self.depth - 4) // 6):
                x = self._block(
                    x, width * self.widen, 2 if i > 0 and j == 0 else 1, f"group{i}_block{j}"
                )
        return self._activate(x, "norm").mean((1, 2))

    def _block(self, x: Array, width: int, stride: int, name: str) -> Array:
        active = self._activate(x, f"{name}_norm0")
        y = self._activate(self._conv(active, width, 3, stride, f"{name}_conv0"), f"{name}_norm1")
        y = self._conv(y, width, 3, 1, f"{name}_conv1")
        # Where the width changes, the shortcut is a 1x1 convolution of the activated input
        return y + (
            x if x.shape[-1] == width else self._conv(active, width, 1, stride, f"{name}_shortcut")
        )

    def _activate(self, x: Array, name: str) -> Array:
        return nn.relu(Norm(self.norm, name=name)(x))

    def _conv(self, x: Array, width: int, kernel: int, stride: int, name: str) -> Array:
        return conv(
            x,
            self.param(name, self.kernel_init or OWN_KERNELS, (kernel, kernel, x.shape[-1], width)),
            stride,
            self.dtype,
            self.shared,
        )
