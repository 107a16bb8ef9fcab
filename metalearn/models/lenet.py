"""LeNet, the network of papers on adaptation between digits; and a bottleneck of features."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from metalearn.errors import UserError
from metalearn.models.cnn import normalised_dense
from metalearn.models.conv import conv
from metalearn.models.module import Module
from metalearn.models.norms import Norm
from metalearn.types import Array

OWN_KERNELS = nn.initializers.he_normal()
KERNEL = 5
LEAST = 16  # pixels of a side, of which two convolutions and maxima leave one place


class LeNet(Module):
    """Two 5x5 convolutions without padding and a dense layer; [B,H,W,Ch] -> [B,dense].

    After LeCun et al. 1998 with the widths that Caffe's example has, and that Ganin et al. 2016 and
    Long et al. 2018 adapt between digits: 20 and 50 filters, each followed by 2x2 maxima and ReLU,
    500 units with dropout. Deviations: normalisation follows each layer, its shift is the bias; no
    dropout between the convolutions.

    Attributes:
      widths: filters of each convolution.
      dense: units of the dense layer, which are the features.
      norm: kind of `Norm`.
      drop: rate of dropout of the features.
      shared: see `conv`.
      kernel_init: of all kernels; None for the network's own, He et al. 2015.
    """

    widths: Sequence[int] = (20, 50)
    dense: int = 500
    norm: str = "batch"
    drop: float = 0.5
    dtype: jnp.dtype = jnp.float32
    shared: bool = False
    kernel_init: nn.initializers.Initializer | None = None

    @nn.compact
    def __call__(self, x: Array, deterministic: bool = True) -> Array:
        if min(x.shape[1:3]) < LEAST:
            raise UserError(
                f"lenet takes images of {LEAST} pixels a side at least, not {x.shape[1]} x "
                f"{x.shape[2]}: choose --backbone=conv4-32, or larger images"
            )
        init = self.kernel_init or OWN_KERNELS
        for i, width in enumerate(self.widths):
            w = self.param(f"conv{i}", init, (KERNEL, KERNEL, x.shape[-1], width))
            y = conv(x, w, 1, self.dtype, self.shared, "VALID")
            x = nn.relu(Norm(self.norm, 2, name=f"norm{i}")(y))
        flat = x.reshape(len(x), -1)
        z = normalised_dense(self, flat, init)
        return nn.Dropout(self.drop, deterministic=deterministic)(z)


class Bottleneck(Module):
    """A dense layer on features that stay as they are; [B,D] -> [B,dense].

    Liang et al. 2020: 256 units, normalised. Deviation: they are not rectified there.

    Attributes:
      dense: units.
      norm: kind of `Norm`.
      kernel_init: of the kernel; None for the network's own, He et al. 2015.
      shared: of no meaning here, as of all backbones.
    """

    dense: int = 256
    norm: str = "batch"
    dtype: jnp.dtype = jnp.float32
    shared: bool = False
    kernel_init: nn.initializers.Initializer | None = None

    @nn.compact
    def __call__(self, x: Array, deterministic: bool = True) -> Array:
        return normalised_dense(self, x.reshape(len(x), -1), self.kernel_init or OWN_KERNELS)
