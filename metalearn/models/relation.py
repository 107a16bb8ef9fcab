"""The comparing half of relation networks."""

import flax.linen as nn
import jax.numpy as jnp

from metalearn.base import Array
from metalearn.models.conv import conv
from metalearn.models.norms import Norm


class Relation(nn.Module):
    """Scores [B,1], before the sigmoid, of pairs of feature maps joined by channels [B,H,W,2F].

    Sung et al. 2018, figure 3: two blocks of 3x3 convolution, normalisation, ReLU and 2x2 maximum, then layers of
    `hidden` and 1 units. A map too small to be halved stays as it is.
    """

    width: int = 64
    hidden: int = 8
    norm: str = "group"
    dtype: jnp.dtype = jnp.float32
    shared: bool = False

    @nn.compact
    def __call__(self, x: Array, deterministic: bool = True) -> Array:
        for i in range(2):
            w = self.param(f"conv{i}", nn.initializers.glorot_uniform(), (3, 3, x.shape[-1], self.width))
            y = conv(x, w, 1, self.dtype, self.shared)
            x = nn.relu(Norm(self.norm, 2 if min(y.shape[1:3]) > 1 else 1, name=f"norm{i}")(y))
        x = nn.relu(nn.Dense(self.hidden, name="hidden")(x.reshape(len(x), -1)))
        return nn.Dense(1, name="score")(x)
