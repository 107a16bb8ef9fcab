"""The comparing half of relation networks."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp

from metalearn.base import Array
from metalearn.models.conv import conv
from metalearn.models.norms import Norm


class Relation(nn.Module):
    """Scores [Q,N], before the sigmoid, of feature maps of queries [Q,H,W,F] beside those of classes [N,H,W,F].

    Sung et al. 2018, figure 3: both maps joined by channels, two blocks of 3x3 convolution, normalisation, ReLU and 2x2
    maximum, then layers of `hidden` and 1 units, which begin as in the released code (small weights, biases of 1: all
    units live). The first convolution of a joined pair is the sum of those of its halves, so it is not done by pairs.
    A map too small to be halved stays as it is. Deviations: convolutions are padded and every pair is normalised by
    itself.
    """

    width: int = 64
    hidden: int = 8
    norm: str = "group"
    dtype: jnp.dtype = jnp.float32
    shared: bool = False

    @nn.compact
    def __call__(self, maps: tuple[Array, Array], deterministic: bool = True) -> Array:
        classes, queries = maps
        scores, channels = (len(queries), len(classes)), classes.shape[-1]
        w = self._kernel(0, 2 * channels)
        of_classes, of_queries = self._conv(classes, w[:, :, :channels]), self._conv(queries, w[:, :, channels:])
        pairs = of_queries[:, None] + of_classes[None]
        x = self._rest(0, pairs.reshape(-1, *pairs.shape[2:]))
        x = self._rest(1, self._conv(x, self._kernel(1, self.width)))
        dense = partial(nn.Dense, kernel_init=nn.initializers.normal(0.01), bias_init=nn.initializers.ones)
        x = nn.relu(dense(self.hidden, name="hidden")(x.reshape(len(x), -1)))
        return dense(1, name="score")(x).reshape(scores)

    def _kernel(self, block: int, channels: int) -> Array:
        return self.param(f"conv{block}", nn.initializers.glorot_uniform(), (3, 3, channels, self.width))

    def _conv(self, x: Array, w: Array) -> Array:
        return conv(x, w, 1, self.dtype, self.shared)

    def _rest(self, block: int, y: Array) -> Array:
        return nn.relu(Norm(self.norm, 2 if min(y.shape[1:3]) > 1 else 1, name=f"norm{block}")(y))
