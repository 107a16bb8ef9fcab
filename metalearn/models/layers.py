"""Layers of pre-trained networks: convolutions padded as their libraries pad.

Batch normalisation by known moments is an affine map, which can move into the kernel before it: see
`fold`. The layer then finds a bias in place of its normalisation, and takes it.
"""

import functools
import operator
from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from metalearn.models.conv import product, same_padding
from metalearn.models.depthwise import Pads, depthwise, views_of
from metalearn.models.forms import on_cpu
from metalearn.models.module import Module
from metalearn.models.norms import Norm
from metalearn.types import Array, PyTree

SAME = "SAME"  # TensorFlow's padding, whose zeros depend on the size of the image
Padding = str | int | tuple[int, int]
Activation = Callable[[Array], Array]

FEW_TERMS = 27  # 3x3 places of three channels
OWN_KERNELS = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
OWN_MATRICES = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")
OWN_DEPTHWISE = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


def relu6(x: Array) -> Array:
    """ReLU that ends at six."""
    # Not by `jnp.clip`, which is traced as a function of its own
    return jax.lax.min(jax.lax.max(x, x.dtype.type(0)), x.dtype.type(6))


def pads_of(x: Array, kernel: tuple[int, int], stride: int, padding: Padding) -> Pads:
    """Zeros around rows and columns.

    Args:
      x: images or maps [B,H,W,C].
      kernel: its height and width.
      stride: of rows and columns.
      padding: SAME, or zeros of every side, or of rows and of columns.
    """
    (tall, wide) = kernel
    if padding == SAME:
        return same_padding(x.shape[1], tall, stride), same_padding(x.shape[2], wide, stride)
    (rows, cols) = padding if isinstance(padding, tuple) else (padding, padding)
    return (int(rows), int(rows)), (int(cols), int(cols))


def convolve(x: Array, w: Array, stride: int, pads: Pads) -> Array:
    """x [B,H,W,Ch] convolved with w [kh,kw,Ch,F]; [B,H',W',F].

    A CPU takes it as one product, an accelerator as XLA's convolution. Patches, which are larger
    than the image by the size of the kernel, are made again for derivatives.

    Args:
      x: images or maps.
      w: kernels.
      stride: of rows and columns.
      pads: zeros around rows and columns.
    """
    if not on_cpu():
        return native(x, w, stride, pads)
    # Not of 1x1: sums over their channels would be fused into every place that uses them
    if w.shape[0] > 1 and w[..., 0].size <= FEW_TERMS:
        return by_places(x, w, stride, pads)
    if w.shape[:2] == (1, 1):  # its patches are the image
        return by_product(x, w, stride, pads)
    return jax.checkpoint(partial(by_product, stride=stride, pads=pads))(x, w)


def native(x: Array, w: Array, stride: int, pads: Pads) -> Array:
    """The same by XLA's convolution.

    Args:
      x, w, stride, pads: as of `convolve`.
    """
    return jax.lax.conv_general_dilated(
        x, w, (stride, stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def by_product(x: Array, w: Array, stride: int, pads: Pads) -> Array:
    """The same as a product of patches and weights, two-dimensional: what is fast on a CPU.

    Args:
      x, w, stride, pads: as of `convolve`.
    """
    (tall, wide, channels, filters) = w.shape
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0))) if pads != ((0, 0), (0, 0)) else x
    views = views_of(padded, (tall, wide), stride)
    patches = jnp.concatenate(views, -1) if len(views) > 1 else views[0]
    flat = patches.reshape(-1, tall * wide * channels)
    y = product(flat, w.reshape(-1, filters)).astype(x.dtype)
    return y.reshape(*patches.shape[:3], filters)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def by_places(x: Array, w: Array, stride: int, pads: Pads) -> Array:
    """The same as a sum over the places and channels of the kernel: for images of three channels.

    Patches of so few channels take longer to make than to multiply. Derivatives are those of
    `by_product`.

    Args:
      x, w, stride, pads: as of `convolve`.
    """
    (tall, wide, channels, _) = w.shape
    padded = jax.lax.optimization_barrier(jnp.pad(x, ((0, 0), *pads, (0, 0))))
    rows = padded.shape[1] - tall + 1
    cols = padded.shape[2] - wide + 1
    terms = [
        padded[:, i : i + rows : stride, j : j + cols : stride, c, None] * w[i, j, c]
        for i in range(tall)
        for j in range(wide)
        for c in range(channels)
    ]
    return functools.reduce(operator.add, terms)


def _places_forward(x: Array, w: Array, stride: int, pads: Pads) -> tuple[Array, tuple]:
    return by_places(x, w, stride, pads), (x, w)


def _places_backward(stride: int, pads: Pads, kept: tuple, dy: Array) -> tuple[Array, Array]:
    (_, vjp) = jax.vjp(partial(by_product, stride=stride, pads=pads), *kept)
    return vjp(dy)


by_places.defvjp(_places_forward, _places_backward)


class ConvNorm(Module):
    """Convolution, normalisation or bias, activation; x [B,H,W,Ch] -> [B,H',W',F].

    Parameters: `kernel` [kh,kw,Ch,F], or [k,k,1,F] depthwise; `norm` {scale, shift} [F], or `bias`
    where there is no normalisation, or it is folded.
    Computed in the type of x.

    Attributes:
      width: F; as many as x has where depthwise.
      kernel: its size.
      stride: of both axes.
      padding: SAME, or the zeros on every side, of rows and columns where two are given.
      depthwise: a kernel for every channel.
      normalised: else there is a bias.
      eps: what the normalisation adds to variances.
      activation: or None.
    """

    width: int
    kernel: tuple[int, int] = (3, 3)
    stride: int = 1
    padding: Padding = SAME
    depthwise: bool = False
    normalised: bool = True
    eps: float = 1e-5
    activation: Activation | None = nn.relu

    @nn.compact
    def __call__(self, x: Array) -> Array:
        pads = pads_of(x, self.kernel, self.stride, self.padding)
        channels = 1 if self.depthwise else x.shape[-1]
        init = OWN_DEPTHWISE if self.depthwise else OWN_KERNELS
        w = self.param("kernel", init, (*self.kernel, channels, self.width))
        form = depthwise if self.depthwise else convolve
        y = form(x, w.astype(x.dtype), self.stride, pads)
        if self.normalised and not self.has_variable("params", "bias"):
            y = Norm(eps=self.eps, name="norm")(y).astype(x.dtype)
        else:
            bias = self.param("bias", nn.initializers.zeros, (self.width,))
            y = y + bias.astype(x.dtype)
        return y if self.activation is None else self.activation(y)


def fold(params: PyTree, moments: PyTree, eps: float) -> PyTree:
    """The parameters of a network whose `ConvNorm`s have known moments moved into their kernels.

    Exact, and its derivatives are. Layers without an entry in the moments stay as they are. Arrays
    of NumPy stay NumPy's: outside a compiled program JAX would compile each operation for each
    shape.

    Args:
      params: by stage and layer.
      moments: of all layers, or of some.
      eps: what the normalisation adds to variances.
    """
    if "kernel" in params and "norm" in params and "norm" in moments:
        (norm, known) = (params["norm"], moments["norm"])
        factor = norm["scale"] * inverse_root(known["var"] + eps)
        bias = norm["shift"] - known["mean"] * factor
        return {"kernel": params["kernel"] * factor, "bias": bias}
    return {
        name: fold(part, moments[name], eps) if isinstance(part, dict) and name in moments else part
        for name, part in params.items()
    }


def inverse_root(x: Array | np.ndarray) -> Array | np.ndarray:
    """1 / sqrt(x), of NumPy or of JAX as x is."""
    return 1 / np.sqrt(x) if isinstance(x, np.ndarray) else jax.lax.rsqrt(x)


class Dense(Module):
    """A linear layer, x [...,D] -> [...,width], computed in the type of x."""

    width: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param("kernel", OWN_MATRICES, (x.shape[-1], self.width))
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        return product(x, kernel.astype(x.dtype)).astype(x.dtype) + bias.astype(x.dtype)
