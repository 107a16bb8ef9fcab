"""Inverted bottlenecks, of which mobile networks are built (Sandler et al. 2018).

A block widens by a 1x1 convolution, filters each channel by itself, and narrows by another 1x1
convolution, after which there is no activation; it is added to its input where the shapes agree.
"""

from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from metalearn.models.depthwise import Pads
from metalearn.models.forms import on_cpu
from metalearn.models.layers import SAME, ConvNorm, Padding, pads_of, relu6
from metalearn.models.staged import Staged
from metalearn.types import Array

STEM = 32
FINAL = 1280
LARGE_MAP = 1_000_000  # numbers of an image
LATER = (("stage4", 4), ("stage6", 8))  # images at once, where maps are a 16th and a 64th as large
KEPT = "stage6"  # from where on derivatives take less time if nothing is computed again


class Stage(NamedTuple):
    """Blocks of one width; the first takes the stride."""

    blocks: int
    kernel: int
    stride: int
    expand: int  # times as many channels inside a block as it is given
    width: int


class Style(NamedTuple):
    """In what libraries differ.

    Attributes:
      eps: of the normalisation.
      same: TensorFlow's padding, which at a stride of 2 is not the same on both sides; PyTorch's
        else.
    """

    eps: float
    same: bool

    def padding(self, kernel: int) -> Padding:
        """Of a kernel of that size."""
        return SAME if self.same else kernel // 2

    def layer(self, width: int, kernel: int = 1, stride: int = 1, **kw: object) -> ConvNorm:
        """A convolution in this style, followed by ReLU6."""
        padding = self.padding(kernel)
        settings = {"activation": relu6, "eps": self.eps, "padding": padding, **kw}
        return ConvNorm(width, (kernel, kernel), stride, **settings)  # type: ignore[arg-type]


class Bottleneck(nn.Module):
    """One block; x [B,H,W,Ch] -> [B,H',W',width]."""

    kernel: int
    stride: int
    expand: int
    width: int
    style: Style

    @nn.compact
    def __call__(self, x: Array) -> Array:
        layer = self.style.layer
        inner = x.shape[-1] * self.expand
        size = (self.kernel, self.kernel)
        padding = self.style.padding(self.kernel)
        y = x
        if self.expand != 1 and self._pads_first(x):
            pads = pads_of(x, size, self.stride, padding)
            y = layer(inner, name="expand")(jnp.pad(x, ((0, 0), *pads, (0, 0))))
            y = jnp.where(_inside(x, pads), y, 0)
            padding = 0
        elif self.expand != 1:
            y = layer(inner, name="expand")(y)
        filtered = layer(
            inner, self.kernel, self.stride, padding=padding, depthwise=True, name="depthwise"
        )
        y = filtered(y)
        y = layer(self.width, activation=None, name="project")(y)
        return x + y if self.stride == 1 and x.shape[-1] == self.width else y

    def _pads_first(self, x: Array) -> bool:
        """Whether x is padded in place of the wide map, whose copy would leave a CPU's caches.

        The border has to become zeros again; it would count in moments that are not known.
        """
        wide = x[0].size * self.expand > LARGE_MAP
        folded = "bias" in self.variables.get("params", {}).get("expand", {})
        return wide and folded and on_cpu()


def _inside(x: Array, pads: Pads) -> Array:
    """Which places [H',W',1] of x with zeros around it are its own."""
    return jnp.pad(jnp.ones((*x.shape[1:3], 1), bool), (*pads, (0, 0)))


class Blocks(nn.Module):
    """The blocks of a stage."""

    stage: Stage
    style: Style

    @nn.compact
    def __call__(self, x: Array) -> Array:
        (blocks, kernel, stride, expand, width) = self.stage
        for i in range(blocks):
            of_block = stride if i == 0 else 1
            block = Bottleneck(kernel, of_block, expand, width, self.style, name=f"block{i}")
            x = block(x)
        return x


class Stem(nn.Module):
    """The first convolution, which halves the image."""

    style: Style

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return self.style.layer(STEM, 3, 2, name="conv")(x)


class Final(nn.Module):
    """The last convolution, averaged over places: features [B,1280]."""

    style: Style

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return self.style.layer(FINAL, name="conv")(x).mean((1, 2))


def build(stages: tuple[Stage, ...], style: Style) -> Staged:
    """The network: `stem`, `stage1` ..., `final`."""
    middle = tuple(
        (f"stage{i + 1}", partial(Blocks, stage, style)) for i, stage in enumerate(stages)
    )
    ends = (("stem", partial(Stem, style)), ("final", partial(Final, style)))
    return Staged((ends[0], *middle, ends[1]), chunk=1, later=LATER, kept=KEPT, eps=style.eps)
