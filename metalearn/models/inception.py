"""Inception-v3 (Szegedy et al. 2016); images [B,299,299,3] -> features [B,2048].

The auxiliary classifier, of use in training from scratch, is left out. Deviation: there is no
dropout before the classifier in training.

Weights of both libraries come from Google's; but PyTorch counts zeros beyond the border in averages
and Keras does not. Each file gets the averages of its own library: these are two networks, each a
family of its own.
"""

from collections.abc import Iterator
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from metalearn.models.entries import (
    CLASSIFIER,
    COUNTERS,
    MOMENTS,
    PARAMS,
    Entry,
    Place,
    as_is,
    classifier,
    conv_norm,
)
from metalearn.models.image_inputs import square
from metalearn.models.inception_blocks import MIXED, SECOND, STEM, Branches, Conv
from metalearn.models.layers import SAME, ConvNorm
from metalearn.models.layouts import Family, Layout
from metalearn.models.pooling import Average, average_pool3, max_pool
from metalearn.models.staged import Staged
from metalearn.types import Array

EPS = 1e-3
LEAST = 75  # pixels a side
INPUTS = square(299, (127.5,) * 3, (127.5,) * 3, resize="bicubic")


def _layer(conv: Conv) -> ConvNorm:
    padding = 0 if conv.valid or conv.stride == 2 else SAME
    return ConvNorm(conv.width, conv.kernel, conv.stride, padding, eps=EPS, name=conv.name)


class Row(nn.Module):
    """Convolutions one after the other, and a maximum that halves."""

    row: tuple[Conv, ...]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for conv in self.row:
            x = _layer(conv)(x)
        return max_pool(x, 3, 2, 0)


class Mixed(nn.Module):
    """Branches side by side."""

    branches: Branches
    counted: bool

    @nn.compact
    def __call__(self, x: Array) -> Array:
        outputs = []
        for branch in self.branches:
            y = x
            if branch.pool == "average":
                y = average_pool3(y, self.counted)
            elif branch.pool == "max":
                y = max_pool(y, 3, 2, 0)
            for conv in branch.row:
                y = _layer(conv)(y)
            outputs += [_layer(conv)(y) for conv in branch.last] or [y]
        return jnp.concatenate(outputs, -1)


def network(counted: bool = True) -> Staged:
    """The network: `stem`, `second`, `Mixed_5b` to `Mixed_7c`, `final`.

    counted: averages count zeros beyond the border.
    """
    mixed = tuple((name, partial(Mixed, each, counted)) for name, each in MIXED.items())
    stem = (("stem", partial(Row, STEM)), ("second", partial(Row, SECOND)))
    return Staged((*stem, *mixed, ("final", Average)), chunk=2, eps=EPS, least=LEAST)


def _convolutions() -> Iterator[tuple[Place, str, Conv]]:
    """Path here, and name in torchvision, of every convolution, as Keras orders them."""
    for stage, row in (("stem", STEM), ("second", SECOND)):
        for conv in row:
            yield (stage, conv.name), conv.name, conv
    for stage, branches in MIXED.items():
        for branch in branches:
            for conv in (*branch.row, *branch.last):
                yield (stage, conv.name), f"{stage}.{conv.name}", conv


def torchvision() -> Iterator[Entry]:
    """Names of torchvision, and of timm."""
    for path, name, _ in _convolutions():
        yield from conv_norm(path, f"{name}.conv", f"{name}.bn")
    yield from classifier("fc")


def keras() -> Iterator[Entry]:
    """Names of Keras: layers are numbered as they were made; its normalisation has no scale."""
    for i, (path, _, conv) in enumerate(_convolutions()):
        number = f"_{i}" if i else ""
        norm = f"batch_normalization{number}"
        yield Entry(PARAMS, (*path, "kernel"), (f"conv2d{number}/0",), as_is)
        yield Entry(PARAMS, (*path, "norm", "scale"), (), partial(np.ones, conv.width))
        yield Entry(PARAMS, (*path, "norm", "shift"), (f"{norm}/0",), as_is)
        yield Entry(MOMENTS, (*path, "norm", "mean"), (f"{norm}/1",), as_is)
        yield Entry(MOMENTS, (*path, "norm", "var"), (f"{norm}/2",), as_is)
    yield Entry(CLASSIFIER, ("kernel",), ("predictions/0",), as_is)
    yield Entry(CLASSIFIER, ("bias",), ("predictions/1",), as_is)


def family() -> Family:
    """Inception-v3 as PyTorch computes it, and its files."""
    ignored = rf"{COUNTERS}|^AuxLogits\."
    layout = Layout("torchvision or timm", tuple(torchvision()), INPUTS, ignored=ignored)
    return Family(network, (layout,))


def family_of_keras() -> Family:
    """Inception-v3 as Keras computes it, and its files."""
    return Family(partial(network, counted=False), (Layout("Keras", tuple(keras()), INPUTS),))
