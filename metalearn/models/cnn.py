"""Small networks of tutorials: convolutions, then a dense layer whose activations are the features.

Either classifies images of 28 or 32 pixels; the classifier itself is the learner's.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from metalearn.errors import UserError
from metalearn.models.conv import conv, max_pool, product
from metalearn.models.conv4 import Conv4
from metalearn.models.first_layer import Prepared
from metalearn.models.module import Module
from metalearn.models.norms import Norm
from metalearn.types import Array

OWN_KERNELS = nn.initializers.glorot_uniform()
LEAST = 18  # pixels of a side, of which three convolutions without padding leave one place


class PlainCnn(Module):
    """Three 3x3 convolutions without padding and a dense layer; [B,H,W,Ch] -> [B,dense].

    The network of TensorFlow's tutorial "Convolutional Neural Network (CNN)" on CIFAR-10, up to its
    last layer: ReLU after every layer, 2x2 maxima after the first two convolutions, biases that
    begin at zero and kernels by Glorot & Bengio 2010, as Keras initialises both.

    Attributes:
      widths: filters of each convolution.
      dense: units of the dense layer.
      shared: see `conv`.
      kernel_init: of all kernels; None for the network's own.
    """

    widths: Sequence[int] = (32, 64, 64)
    dense: int = 64
    dtype: jnp.dtype = jnp.float32
    shared: bool = False
    kernel_init: nn.initializers.Initializer | None = None

    @nn.compact
    def __call__(self, x: Array, deterministic: bool = True) -> Array:
        if min(x.shape[1:3]) < LEAST:
            raise UserError(
                f"cnn takes images of {LEAST} pixels a side at least, not {x.shape[1]} x "
                f"{x.shape[2]}: choose --backbone=cnn-bn, or larger images"
            )
        init = self.kernel_init or OWN_KERNELS
        for i, width in enumerate(self.widths):
            w = self.param(f"conv{i}", init, (3, 3, x.shape[-1], width))
            bias = self.param(f"bias{i}", nn.initializers.zeros, (width,))
            y = conv(x, w, 1, self.dtype, self.shared, "VALID")
            # A bias shifts all places of a window alike: it is added to their maximum
            y = max_pool(y) if i + 1 < len(self.widths) else y
            x = nn.relu(y + bias)
        flat = x.reshape(len(x), -1)
        w = self.param("dense", init, (flat.shape[-1], self.dense))
        bias = self.param("dense_bias", nn.initializers.zeros, (self.dense,))
        return nn.relu(dense_product(flat, w, self.dtype) + bias)


def dense_product(x: Array, w: Array, dtype: jnp.dtype) -> Array:
    """x [B,D] @ w [D,F] from inputs of a type, in the type of x."""
    return product(x.astype(dtype), w.astype(dtype)).astype(x.dtype)


def plain_cnn(norm: str, **options: Any) -> PlainCnn:
    """The network, which has no normalisation layers.

    Raises:
      UserError: it is asked for some.
    """
    if norm != "none":
        raise UserError(f"cnn has no normalisation layers, of '{norm}' or any kind: --norm=none")
    return PlainCnn(**options)


class NormalisedCnn(Conv4):
    """Conv4 of growing widths with a dense layer, normalised too; [B,H,W,Ch] -> [B,dense].

    Kernels have no biases, which normalisation would cancel or its shift replaces.

    Attributes:
      widths: filters of each block of 3x3 convolution, normalisation, ReLU and 2x2 maximum.
      dense: units of the dense layer, which normalisation and ReLU follow.
    """

    widths: Sequence[int] = (32, 64, 128, 128)
    dense: int = 128

    @nn.compact
    def __call__(self, images: Array | Prepared, deterministic: bool = True) -> Array:
        """Features of the images, or of images that `prepare` has made ready."""
        flat = super().__call__(images, deterministic)
        return normalised_dense(self, flat, self.kernel_init or OWN_KERNELS)


def normalised_dense(module: Any, x: Array, init: nn.initializers.Initializer) -> Array:
    """A dense layer [B,D] -> [B,dense], normalised and rectified; parameters `dense`, `dense_norm`.

    Args:
      module: whose layer it is, with `dense` units, a kind of `norm` and a `dtype`.
      x: features.
      init: of the kernel.
    """
    w = module.param("dense", init, (x.shape[-1], module.dense))
    # A map of one place, as `Norm` takes it
    y = dense_product(x, w, module.dtype)[:, None, None, :]
    return nn.relu(Norm(module.norm, name="dense_norm")(y)[:, 0, 0])
