"""ResNet-18, 34 and 50 for ImageNet (He et al. 2016); images [B,H,W,3] -> features [B,D].

Version 1.5: where a bottleneck halves, its 3x3 convolution does, not its first 1x1. Features are
averaged over places: 512, or 2,048 of ResNet-50.
"""

from collections.abc import Iterator
from functools import partial

import flax.linen as nn

from metalearn.models.entries import Entry, Place, classifier, conv_norm
from metalearn.models.image_inputs import IMAGENET_MEAN, IMAGENET_STD, square
from metalearn.models.layers import ConvNorm
from metalearn.models.layouts import Family, Layout
from metalearn.models.pooling import Average, max_pool
from metalearn.models.staged import Staged
from metalearn.types import Array

WIDTHS = (64, 128, 256, 512)
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
EXPANSION = 4  # of a bottleneck's output


class Stem(nn.Module):
    """7x7 convolution and 3x3 maximum, each of which halves."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = ConvNorm(WIDTHS[0], (7, 7), 2, 3, name="conv")(x)
        return max_pool(y, 3, 2, 1)


class Block(nn.Module):
    """Two 3x3 convolutions, or 1x1, 3x3 and 1x1, added to the input.

    Where the shapes differ, the input goes through a 1x1 convolution.
    """

    width: int
    stride: int
    bottleneck: bool

    @nn.compact
    def __call__(self, x: Array) -> Array:
        width = self.width
        if self.bottleneck:
            y = ConvNorm(width, (1, 1), name="conv1")(x)
            y = ConvNorm(width, (3, 3), self.stride, 1, name="conv2")(y)
            width = width * EXPANSION
            y = ConvNorm(width, (1, 1), activation=None, name="conv3")(y)
        else:
            y = ConvNorm(width, (3, 3), self.stride, 1, name="conv1")(x)
            y = ConvNorm(width, (3, 3), 1, 1, activation=None, name="conv2")(y)
        if self.stride != 1 or x.shape[-1] != width:
            x = ConvNorm(width, (1, 1), self.stride, 0, activation=None, name="shortcut")(x)
        return nn.relu(x + y)


class Blocks(nn.Module):
    """The blocks of a stage, of which the first takes the stride."""

    blocks: int
    width: int
    stride: int
    bottleneck: bool

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for i in range(self.blocks):
            stride = self.stride if i == 0 else 1
            x = Block(self.width, stride, self.bottleneck, name=f"block{i}")(x)
        return x


def network(depth: int) -> Staged:
    """The network of so many layers: `stem`, `stage1` to `stage4`, `final`."""
    stages = tuple(
        (f"stage{i + 1}", partial(Blocks, blocks, WIDTHS[i], 1 if i == 0 else 2, depth >= 50))
        for i, blocks in enumerate(DEPTHS[depth])
    )
    return Staged((("stem", Stem), *stages, ("final", Average)), chunk=2)


def _blocks(depth: int) -> Iterator[tuple[int, int, Place, bool]]:
    """Stage and place within it of every block, its path, and whether it has a shortcut."""
    for i, blocks in enumerate(DEPTHS[depth]):
        for j in range(blocks):
            yield i, j, (f"stage{i + 1}", f"block{j}"), j == 0 and (i > 0 or depth >= 50)


def torchvision(depth: int) -> Iterator[Entry]:
    """Names of torchvision, and of timm."""
    yield from conv_norm(("stem", "conv"), "conv1", "bn1")
    for i, j, path, shortcut in _blocks(depth):
        name = f"layer{i + 1}.{j}."
        for k in range(1, 4 if depth >= 50 else 3):
            yield from conv_norm((*path, f"conv{k}"), f"{name}conv{k}", f"{name}bn{k}")
        if shortcut:
            path = (*path, "shortcut")
            yield from conv_norm(path, f"{name}downsample.0", f"{name}downsample.1")
    yield from classifier("fc")


def transformers(depth: int) -> Iterator[Entry]:
    """Names of transformers."""

    def layer(path: Place, name: str) -> Iterator[Entry]:
        return conv_norm(path, f"{name}.convolution", f"{name}.normalization")

    yield from layer(("stem", "conv"), "embedder.embedder")
    for i, j, path, shortcut in _blocks(depth):
        name = f"encoder.stages.{i}.layers.{j}."
        for k in range(3 if depth >= 50 else 2):
            yield from layer((*path, f"conv{k + 1}"), f"{name}layer.{k}")
        if shortcut:
            yield from layer((*path, "shortcut"), f"{name}shortcut")
    yield from classifier("classifier.1")


def family(depth: int) -> Family:
    """ResNet of so many layers and its files."""
    inputs = square(224, IMAGENET_MEAN, IMAGENET_STD)
    return Family(
        partial(network, depth),
        (
            Layout("torchvision or timm", tuple(torchvision(depth)), inputs),
            Layout("transformers", tuple(transformers(depth)), inputs, prefix="resnet."),
        ),
    )
