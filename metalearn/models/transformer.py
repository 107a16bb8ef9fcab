"""Vision transformers as a row of stages (Dosovitskiy et al. 2021); layers before normalisation.

Images are cut into patches, each becomes a token, one token more stands for the whole image. What
is published as ViT and as DINOv2 are these layers; the latter scales what each adds (Touvron et al.
2021).
"""

from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from metalearn.errors import UserError
from metalearn.models.layers import OWN_MATRICES, Dense
from metalearn.models.module import Module
from metalearn.models.staged import Staged
from metalearn.types import Array

SMALL_NOISE = nn.initializers.normal(0.02)


class Size(NamedTuple):
    """Of a transformer.

    Attributes:
      blocks: how many.
      width: numbers a token.
      heads: of attention.
      patch: pixels on its side.
      grid: patches on the side of an image that it was trained on.
      gains: blocks scale what they add; their first scale, 0 for blocks that do not.
    """

    blocks: int
    width: int
    heads: int
    patch: int
    grid: int
    gains: float = 0.0


class LayerNorm(Module):
    """Every token has mean 0 and variance 1, then scale and shift [D]; sums in float32."""

    eps: float

    @nn.compact
    def __call__(self, x: Array) -> Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        shift = self.param("shift", nn.initializers.zeros, (x.shape[-1],))
        y = x.astype(jnp.float32)
        y = y - y.mean(-1, keepdims=True)
        var = jnp.square(y).mean(-1, keepdims=True)
        return (y * jax.lax.rsqrt(var + self.eps) * scale + shift).astype(x.dtype)


class Tokens(Module):
    """Images [B,H,W,Ch] -> tokens [B,1+N,D], the image's first, with their positions added."""

    size: Size

    @nn.compact
    def __call__(self, x: Array) -> Array:
        (batch, height, width, channels) = x.shape
        (patch, grid, features) = (self.size.patch, self.size.grid, self.size.width)
        if height % patch or width % patch:
            raise UserError(
                f"images of {height}x{width} pixels do not divide into patches of {patch}: choose "
                f"a multiple, such as {patch * grid}"
            )
        (rows, cols) = (height // patch, width // patch)
        kernel = self.param("kernel", OWN_MATRICES, (patch, patch, channels, features))
        bias = self.param("bias", nn.initializers.zeros, (features,))
        image = self.param("image", SMALL_NOISE, (features,))
        position = self.param("position", SMALL_NOISE, (1 + grid * grid, features))
        cut = x.reshape(batch, rows, patch, cols, patch, channels).transpose(0, 1, 3, 2, 4, 5)
        flat = cut.reshape(batch, rows * cols, -1)
        tokens = flat @ kernel.reshape(-1, features).astype(x.dtype) + bias.astype(x.dtype)
        first = jnp.broadcast_to(image.astype(x.dtype), (batch, 1, features))
        placed = positions(position, grid, (rows, cols)).astype(x.dtype)
        return jnp.concatenate([first, tokens], 1) + placed


def positions(learned: Array, grid: int, shape: tuple[int, int]) -> Array:
    """Positions [1+N,D] of an image of rows x cols patches, from those [1+grid^2,D] learned.

    Between those learned they are interpolated by cubics.
    """
    if shape == (grid, grid):
        return learned
    (rows, cols) = (cubic(new, grid) for new in shape)
    square = learned[1:].reshape(grid, grid, -1)
    between = jnp.einsum("ih,hwd,jw->ijd", rows, square, cols)
    return jnp.concatenate([learned[:1], between.reshape(-1, learned.shape[-1])])


def cubic(new: int, old: int) -> np.ndarray:
    """Weights [new, old] that interpolate `old` places at `new` ones (Keys 1981, a = -0.75).

    As PyTorch's `bicubic` without antialiasing: places are centres, and the border goes on.
    """
    at = (np.arange(new) + 0.5) * old / new - 0.5
    base = np.floor(at).astype(int)
    weights = np.zeros((new, old), np.float32)
    for offset in (-1, 0, 1, 2):
        place = np.clip(base + offset, 0, old - 1)
        np.add.at(weights, (np.arange(new), place), _keys(np.abs(at - base - offset)))
    return weights


def _keys(distance: np.ndarray, a: float = -0.75) -> np.ndarray:
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


class Block(Module):
    """Attention, then two layers on each token by itself, both added; x [B,1+N,D]."""

    size: Size
    eps: float

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = LayerNorm(self.eps, name="norm1")(x)
        x = x + self._gain("gain1", self._attention(y))
        y = LayerNorm(self.eps, name="norm2")(x)
        y = nn.gelu(Dense(4 * self.size.width, name="mlp1")(y), approximate=False)
        return x + self._gain("gain2", Dense(self.size.width, name="mlp2")(y))

    def _attention(self, x: Array) -> Array:
        (batch, tokens, width) = x.shape
        heads = self.size.heads
        joined = Dense(3 * width, name="qkv")(x)
        (q, k, v) = jnp.moveaxis(joined.reshape(batch, tokens, 3, heads, -1), 2, 0)
        y = jax.nn.dot_product_attention(q, k, v)
        return Dense(width, name="out")(y.reshape(batch, tokens, width))

    def _gain(self, name: str, y: Array) -> Array:
        if not self.size.gains:
            return y
        first = nn.initializers.constant(self.size.gains)
        return y * self.param(name, first, (y.shape[-1],)).astype(y.dtype)


class Final(Module):
    """The image's token, normalised; x [B,1+N,D] -> features [B,D]."""

    eps: float

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return LayerNorm(self.eps, name="norm")(x[:, 0])


def network(size: Size, eps: float = 1e-6) -> Staged:
    """The network: `stem`, `block1` ..., `final`. eps is what normalisation adds to variances."""
    blocks = tuple((f"block{i + 1}", partial(Block, size, eps)) for i in range(size.blocks))
    return Staged((("stem", partial(Tokens, size)), *blocks, ("final", partial(Final, eps))))
