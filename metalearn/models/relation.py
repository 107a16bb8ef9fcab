"""The relation module of relation networks."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp

from metalearn.models.conv import conv
from metalearn.models.module import Module
from metalearn.models.norms import Norm
from metalearn.types import Array

OWN_KERNELS = nn.initializers.glorot_uniform()


class Relation(Module):
    """Relation scores [Q,N], before the sigmoid, of maps of N classes and of Q queries [.,H,W,F].

    Sung et al. 2018, figure 2: both maps concatenated by channels, two blocks of 3x3 convolution,
    normalisation, ReLU and 2x2 maximum, then dense layers of `hidden` and 1 units, initialised as
    in the released code (small weights, biases of 1: all units are active). A map too small to be
    halved stays as it is. Deviations: convolutions are padded (there on Omniglot alone, and not the
    body's first two), and the pairs of each query are normalised by their own moments (there by
    those of all queries' pairs, so that a query's scores depend on the other queries).

    Attributes:
      width: filters of the convolutions.
      hidden: units of the first dense layer.
      shared: see `conv`.
      kernel_init: of the convolutions; None for Glorot & Bengio 2010.
    """

    width: int = 64
    hidden: int = 8
    dtype: jnp.dtype = jnp.float32
    shared: bool = False
    kernel_init: nn.initializers.Initializer | None = None

    @nn.compact
    def __call__(self, maps: tuple[Array, Array], deterministic: bool = True) -> Array:
        classes, queries = maps
        scores = (len(queries), len(classes))
        channels = classes.shape[-1]
        w = self._kernel(0, 2 * channels)
        # A convolution is linear: that of a concatenated pair is the sum of those of its halves.
        # So N + Q convolutions serve all N Q pairs
        of_classes = self._conv(classes, w[:, :, :channels])
        of_queries = self._conv(queries, w[:, :, channels:])
        x = self._rest(0, of_queries[:, None] + of_classes[None])
        y = self._conv(x.reshape(-1, *x.shape[2:]), self._kernel(1, self.width))
        x = self._rest(1, y.reshape(*scores, *y.shape[1:]))
        dense = partial(
            nn.Dense, kernel_init=nn.initializers.normal(0.01), bias_init=nn.initializers.ones
        )
        x = nn.relu(dense(self.hidden, name="hidden")(x.reshape(*scores, -1)))
        return dense(1, name="score")(x)[..., 0]

    def _kernel(self, block: int, channels: int) -> Array:
        return self.param(
            f"conv{block}", self.kernel_init or OWN_KERNELS, (3, 3, channels, self.width)
        )

    def _conv(self, x: Array, w: Array) -> Array:
        return conv(x, w, 1, self.dtype, self.shared)

    def _rest(self, block: int, y: Array) -> Array:
        """Normalisation among the pairs of each query, ReLU and halving of pairs y [Q,N,H,W,F]."""
        # `vmap` over queries: moments are over the N pairs of one query, parameters are shared
        norm = nn.vmap(Norm, variable_axes={"params": None}, split_rngs={"params": False})
        return nn.relu(norm("batch", 2 if min(y.shape[2:4]) > 1 else 1, name=f"norm{block}")(y))
