"""Normalisation by moments of the images at hand or from outside, never by hidden state."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from metalearn.models.conv import largest, max_pool
from metalearn.models.module import Module
from metalearn.types import Array, largest_divisor

KINDS = ("batch", "group", "layer", "none")


class Norm(Module):
    """Normalise, scale and shift y [B,H,W,F], after an optional max-pool.

    Kinds: `batch` (Ioffe & Szegedy 2015: moments per channel over images and places), `group` (Wu &
    He 2018: per image and group of channels), `layer` (Ba et al. 2016: per image), `none` (scale
    and shift alone).

    For `batch`, moments are read from the collection `moments` if the caller supplies it, else
    taken from y itself; they are written there if the caller makes it mutable. There is no running
    average: population moments are measured exactly when wanted (Wu & Johnson 2021, "precise
    BatchNorm").

    Pooling commutes with an increasing affine map. So the sign of the scale moves into y, the
    maximum is taken first, and the affine map is applied to a quarter of the elements: the same
    result as in the usual order, for less work.

    Attributes:
      kind: of `KINDS`.
      pool: side of the windows that are pooled, 1 for none.
      groups: largest number of groups of channels, for `group`; the groups are equal, so their
        number divides that of the channels.
      eps: added to the variance.
    """

    kind: str = "batch"
    pool: int = 1
    groups: int = 8
    eps: float = 1e-5

    @nn.compact
    def __call__(self, y: Array | list[Array], known: tuple[Array, Array] | None = None) -> Array:
        """Normalise y, by its mean [F] and variance [F] over images and places if they are known.

        A list holds each place of the windows to be pooled as an array of its own; its moments must
        then be known, or not be needed.
        """
        views = y if isinstance(y, list) else [y]
        features = views[0].shape[-1]
        scale = self.param("scale", nn.initializers.ones, (features,))
        shift = self.param("shift", nn.initializers.zeros, (features,))
        mean, var = self._moments(views[0], known)
        if self.pool > 1:
            # With a negative scale the largest output comes from the smallest input. Zero counts
            # as positive: then all outputs are the shift, whichever is picked
            sign = jnp.where(scale < 0, -1.0, 1.0)
            views = [view * sign for view in views]
            views = [largest(views) if len(views) > 1 else max_pool(views[0], self.pool)]
            mean = mean * sign
            scale = scale * sign
        return (views[0] - mean) * (scale * jax.lax.rsqrt(var + self.eps)) + shift

    def _moments(self, y: Array, known: tuple[Array, Array] | None) -> tuple[Array, Array]:
        if self.kind == "none":
            return jnp.zeros(()), jnp.ones(())
        if self.kind == "batch":
            return self._batch_moments(y, known)
        groups = 1 if self.kind == "layer" else largest_divisor(y.shape[-1], self.groups)
        grouped = y.reshape(*y.shape[:-1], groups, -1)
        mean = grouped.mean((1, 2, 4), keepdims=True)
        var = jnp.square(grouped - mean).mean((1, 2, 4), keepdims=True)
        return self._spread(mean, y.shape[-1]), self._spread(var, y.shape[-1])

    @staticmethod
    def _spread(moment: Array, features: int) -> Array:
        """Moments [B,1,1,G,1] of groups, as those [B,1,1,F] of their channels."""
        return jnp.repeat(moment[..., 0], features // moment.shape[3], axis=-1)

    def _batch_moments(self, y: Array, known: tuple[Array, Array] | None) -> tuple[Array, Array]:
        if self.has_variable("moments", "mean"):
            return self.get_variable("moments", "mean"), self.get_variable("moments", "var")
        mean, var = known or (y.mean((0, 1, 2)), None)
        # In one pass over y, as in Flax; rounding may take a variance near zero below it
        if var is None:
            var = jnp.maximum(jnp.square(y).mean((0, 1, 2)) - jnp.square(mean), 0.0)
        if self.is_mutable_collection("moments"):
            self.put_variable("moments", "mean", mean)
            self.put_variable("moments", "var", var)
        return mean, var
