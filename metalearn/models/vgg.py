"""VGG-16, with and without batch normalisation (Simonyan & Zisserman 2015).

Images [B,224,224,3] -> features [B,4096], those of the second fully connected layer. A map of
another size than 7x7 is averaged to it, or repeated, as torchvision does. Deviation: there is no
dropout of the fully connected layers in training.
"""

from collections.abc import Iterator
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from metalearn.models.entries import (
    CLASSIFIER,
    PARAMS,
    Entry,
    Place,
    as_is,
    classifier,
    conv_bias,
    conv_norm,
    dense,
    kernel_of_torch,
)
from metalearn.models.image_inputs import IMAGENET_MEAN, IMAGENET_STD, square
from metalearn.models.layers import ConvNorm, Dense
from metalearn.models.layouts import Family, Layout
from metalearn.models.pooling import max_pool
from metalearn.models.staged import Staged
from metalearn.types import Array

WIDTHS = (64, 128, 256, 512, 512)
DEPTHS = (2, 2, 3, 3, 3)
MAP = 7  # places on a side that the fully connected layers take
WIDTH = 4096
LEAST = 2 ** len(WIDTHS)  # pixels a side: every stage halves


class Convolutions(nn.Module):
    """3x3 convolutions and a 2x2 maximum."""

    number: int
    width: int
    normalised: bool

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for i in range(self.number):
            x = ConvNorm(self.width, normalised=self.normalised, name=f"conv{i}")(x)
        return max_pool(x, 2, 2, 0)


class FullyConnected(nn.Module):
    """Two layers of 4,096 units on all places of the map."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = averaged(x, MAP)
        x = x.reshape(len(x), -1)
        for name in ("dense0", "dense1"):
            x = nn.relu(Dense(WIDTH, name=name)(x))
        return x


def averaged(x: Array, side: int) -> Array:
    """x [B,H,W,F] averaged over windows that overlap where they must: [B,side,side,F].

    It is PyTorch's adaptive average.
    """
    if x.shape[1:3] == (side, side):
        return x
    (rows, cols) = (_windows(extent, side) for extent in x.shape[1:3])
    return jnp.einsum("ih,bhwf,jw->bijf", rows, x, cols)


def _windows(extent: int, side: int) -> np.ndarray:
    """Weights [side, extent] of windows of whole places that cover an axis."""
    weights = np.zeros((side, extent), np.float32)
    for i in range(side):
        begin = i * extent // side
        end = -(-(i + 1) * extent // side)
        weights[i, begin:end] = 1 / (end - begin)
    return weights


def network(normalised: bool) -> Staged:
    """The network: `stage1` to `stage5`, `final`."""
    stages = tuple(
        (f"stage{i + 1}", partial(Convolutions, number, width, normalised))
        for i, (number, width) in enumerate(zip(DEPTHS, WIDTHS, strict=True))
    )
    return Staged((*stages, ("final", FullyConnected)), chunk=1, least=LEAST)


def _convolutions() -> Iterator[tuple[int, int, Place]]:
    """Stage and place within it of every convolution, and its path."""
    for i, number in enumerate(DEPTHS):
        for j in range(number):
            yield i, j, (f"stage{i + 1}", f"conv{j}")


def _features(normalised: bool) -> Iterator[Entry]:
    """Entries of torchvision's and timm's convolutions, numbered with what stands between them."""
    position = 0
    for i, j, path in _convolutions():
        name = f"features.{position}"
        if normalised:
            yield from conv_norm(path, name, f"features.{position + 1}", biased=True)
        else:
            yield from conv_bias(path, name)
        position += 3 if normalised else 2
        position += j + 1 == DEPTHS[i]  # the maximum


def _places_last(array: np.ndarray) -> np.ndarray:
    """[out, F*7*7] of a map flattened with its channels first, as [7*7*F, out]."""
    return _flat_kernel(array.reshape(len(array), -1, MAP, MAP))


def _flat_kernel(array: np.ndarray) -> np.ndarray:
    """[out,F,kh,kw] of a convolution with all of a map, as [kh*kw*F, out]."""
    return kernel_of_torch(array).reshape(-1, len(array))


def torchvision(normalised: bool) -> Iterator[Entry]:
    """Names of torchvision."""
    yield from _features(normalised)
    yield Entry(PARAMS, ("final", "dense0", "kernel"), ("classifier.0.weight",), _places_last)
    yield Entry(PARAMS, ("final", "dense0", "bias"), ("classifier.0.bias",), as_is)
    yield from dense(("final", "dense1"), "classifier.3")
    yield from classifier("classifier.6")


def timm(normalised: bool) -> Iterator[Entry]:
    """Names of timm, where fully connected layers are convolutions."""
    yield from _features(normalised)
    for i in range(2):
        name = f"pre_logits.fc{i + 1}"
        yield Entry(PARAMS, ("final", f"dense{i}", "kernel"), (f"{name}.weight",), _flat_kernel)
        yield Entry(PARAMS, ("final", f"dense{i}", "bias"), (f"{name}.bias",), as_is)
    yield from classifier("head.fc")


def keras() -> Iterator[Entry]:
    """Names of Keras; its images are blue, green, red."""
    for i, j, path in _convolutions():
        name = f"block{i + 1}_conv{j + 1}"
        turn = _red_first if i == j == 0 else as_is
        yield Entry(PARAMS, (*path, "kernel"), (f"{name}/0",), turn)
        yield Entry(PARAMS, (*path, "bias"), (f"{name}/1",), as_is)
    for tree, path, name in (
        (PARAMS, ("final", "dense0"), "fc1"),
        (PARAMS, ("final", "dense1"), "fc2"),
        (CLASSIFIER, (), "predictions"),
    ):
        yield Entry(tree, (*path, "kernel"), (f"{name}/0",), as_is)
        yield Entry(tree, (*path, "bias"), (f"{name}/1",), as_is)


def _red_first(array: np.ndarray) -> np.ndarray:
    """A kernel [kh,kw,Ch,F] of blue, green, red as one of red, green, blue."""
    return array[:, :, ::-1]


def family(normalised: bool) -> Family:
    """VGG-16 and its files; Keras has it without normalisation, and only centres its pixels."""
    inputs = square(224, IMAGENET_MEAN, IMAGENET_STD)
    layouts = [
        Layout("torchvision", tuple(torchvision(normalised)), inputs),
        Layout("timm", tuple(timm(normalised)), inputs),
    ]
    if not normalised:
        pixels = square(224, (123.68, 116.779, 103.939), (1.0,) * 3)
        layouts.append(Layout("Keras", tuple(keras()), pixels))
    return Family(partial(network, normalised), tuple(layouts))
