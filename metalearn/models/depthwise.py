"""Depthwise convolution: every channel by a kernel of its own.

An accelerator takes XLA's grouped convolution. On a CPU that is much slower than the sum
of k^2 shifted images, each times one place of the kernel, which reads and writes the output once.
Its derivatives are such sums too: they are written by hand, since those that JAX derives would
write an image for each of the k^2 places.
"""

import functools
from functools import partial

import jax
import jax.numpy as jnp

from metalearn.models.forms import on_cpu
from metalearn.types import Array

Pads = tuple[tuple[int, int], tuple[int, int]]


def depthwise(x: Array, w: Array, stride: int, pads: Pads) -> Array:
    """x [B,H,W,C] convolved with w [k,k,1,C].

    Args:
      x: images or maps.
      w: kernels.
      stride: of rows and columns.
      pads: zeros around rows and columns.
    """
    form = by_shifts if on_cpu() else native
    return form(x, w, stride, pads)


def native(x: Array, w: Array, stride: int, pads: Pads) -> Array:
    """The same by XLA's grouped convolution.

    Args:
      x, w, stride, pads: as of `depthwise`.
    """
    return jax.lax.conv_general_dilated(
        x,
        w,
        (stride, stride),
        pads,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def by_shifts(x: Array, w: Array, stride: int, pads: Pads) -> Array:
    """The same as a sum of shifted images.

    Args:
      x, w, stride, pads: as of `depthwise`.
    """
    kernel = w.shape[0]
    # Without the barrier XLA fuses the padding into every view, and computes it k^2 times
    padded = jax.lax.optimization_barrier(jnp.pad(x, ((0, 0), *pads, (0, 0))))
    taps = jax.lax.split(w.reshape(-1, 1, 1, w.shape[-1]), (1,) * kernel * kernel)
    views = views_of(padded, (kernel, kernel), stride)
    terms = [times(view, tap) for view, tap in zip(views, taps, strict=True)]
    return functools.reduce(jax.lax.add, terms)


def times(view: Array, tap: Array) -> Array:
    """view [B,H,W,C] times tap [1,1,1,C]; there are hundreds, and `*` takes longer to trace."""
    return jax.lax.mul(view, jax.lax.broadcast_in_dim(tap, view.shape, (0, 1, 2, 3)))


def views_of(padded: Array, kernel: tuple[int, int], stride: int) -> list[Array]:
    """What each place of a kernel sees of padded images [B,H,W,C], row by row, [B,H',W',C] each."""
    (images, height, width, channels) = padded.shape
    (rows, cols) = (height - kernel[0] + 1, width - kernel[1] + 1)
    return [
        jax.lax.slice(
            padded, (0, i, j, 0), (images, i + rows, j + cols, channels), (1, stride, stride, 1)
        )
        for i in range(kernel[0])
        for j in range(kernel[1])
    ]


def _forward(x: Array, w: Array, stride: int, pads: Pads) -> tuple[Array, tuple[Array, Array]]:
    return by_shifts(x, w, stride, pads), (x, w)


def _backward(stride: int, pads: Pads, kept: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    (x, w) = kept
    return _image_gradient(x, w, dy, stride, pads), _kernel_gradient(x, w, dy, stride, pads)


def _image_gradient(x: Array, w: Array, dy: Array, stride: int, pads: Pads) -> Array:
    """The turned kernel over the outputs' gradients, zeros between them where the stride skips."""
    kernel = w.shape[0]
    around: list[tuple[int, int, int]] = [(0, 0, 0)]
    for axis, (before, _) in zip((1, 2), pads, strict=True):
        spread = (dy.shape[axis] - 1) * stride + 1
        low = kernel - 1 - before
        around.append((low, x.shape[axis] + kernel - 1 - low - spread, stride - 1))
    zero = jnp.zeros((), dy.dtype)
    spread_out = jax.lax.pad(dy, zero, [*around, (0, 0, 0)])
    return by_shifts(spread_out, jnp.flip(w, (0, 1)), 1, ((0, 0), (0, 0)))


def _kernel_gradient(x: Array, w: Array, dy: Array, stride: int, pads: Pads) -> Array:
    """Sums over images and places of what each place of the kernel sees, times dy.

    One image and one place at a time, which stay in the caches; the sum over places is a product
    with ones, which is faster than a reduction.
    """
    kernel = w.shape[0]
    (_, rows, cols, channels) = dy.shape
    extent = ((rows - 1) * stride + 1, (cols - 1) * stride + 1, channels)
    ones = jnp.ones((1, rows * cols), dy.dtype)
    places = jnp.array([(i, j) for i in range(kernel) for j in range(kernel)])

    def add(total: Array, pair: tuple[Array, Array]) -> tuple[Array, None]:
        (image, gradient) = pair
        padded = jax.lax.optimization_barrier(jnp.pad(image, (*pads, (0, 0))))

        def at(place: Array) -> Array:
            view = jax.lax.dynamic_slice(padded, (place[0], place[1], 0), extent)
            seen = view[::stride, ::stride] * gradient
            return ones @ seen.reshape(-1, channels)

        return total + jax.lax.map(at, places), None

    nothing = jnp.zeros((kernel * kernel, 1, channels), dy.dtype)
    (total, _) = jax.lax.scan(add, nothing, (x, dy))
    return total.reshape(w.shape)


by_shifts.defvjp(_forward, _backward)
