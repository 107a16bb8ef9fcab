"""Convolution and pooling as plain matrix products and maxima.

With kernels per task, as in an inner loop, `vmap` over tasks turns a native convolution into a
grouped one, which XLA runs slowly, most of all its derivatives. Patches times weights become a
batched matrix product instead, at every order of derivative. For the same reason pooling is the
maximum of shifted views, not `reduce_window`.

With one kernel for all images, XLA's own convolution is faster:

- An accelerator takes it as it is. `vmap` over tasks makes one convolution of all their images, and
  another for their gradient in the kernel; a derivative written by hand would become a grouped one,
  with a group for each task.
- On a CPU the gradient in the kernel is slow, most of all within a loop, and Winograd's form, with
  fewer products, is faster still (`metalearn.models.winograd`). So derivatives are written by hand.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp

from metalearn.models import winograd
from metalearn.types import Array


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an axis for ceil(size / stride) output places, TensorFlow's 'SAME'."""
    # An odd one goes to the end, as in TensorFlow; PyTorch pads both ends alike
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def patches(x: Array, kernel: int, stride: int = 1, padded: bool = True) -> Array:
    """Neighbourhoods [B, H', W', kernel*kernel*Ch] of the places of x.

    Args:
      x: [B,H,W,Ch].
      kernel: side of a neighbourhood.
      stride: from place to place.
      padded: by zeros at the border; else only neighbourhoods that lie inside.
    """
    if padded:
        _, height, width, _ = x.shape
        rows = same_padding(height, kernel, stride)
        cols = same_padding(width, kernel, stride)
        x = jnp.pad(x, ((0, 0), rows, cols, (0, 0)))
    tall = x.shape[1] - kernel + 1
    wide = x.shape[2] - kernel + 1
    # Slices of the padded images; the places of a patch are in the order of the kernel's axes, so
    # that a kernel [kernel, kernel, Ch, F] needs no transposition to be multiplied with
    views = [
        x[:, i : i + tall : stride, j : j + wide : stride]
        for i in range(kernel)
        for j in range(kernel)
    ]
    return jnp.concatenate(views, -1)


def conv(
    x: Array,
    w: Array,
    stride: int = 1,
    dtype: jnp.dtype = jnp.float32,
    shared: bool = False,
    padding: str = "SAME",
) -> Array:
    """Convolution [B,H',W',F] in the type of x.

    Args:
      x: [B,H,W,Ch].
      w: [kernel, kernel, Ch, F].
      stride: of both axes.
      dtype: of the products' inputs. On an accelerator it is that of derivatives too, and results
        are rounded to it; a CPU keeps the sums in float32.
      shared: whether all images share the kernel. It decides the form, not the result: the form
        for shared kernels is slow where `vmap` gives each task a kernel of its own.
      padding: `SAME` for ceil(H / stride) x ceil(W / stride) places, or `VALID` for none.
    """
    form = _form(stride, w.shape[0], shared, padding)
    return form(x.astype(dtype), w.astype(dtype)).astype(x.dtype)


def _form(stride: int, kernel: int, shared: bool, padding: str) -> Callable[[Array, Array], Array]:
    """What computes the convolution fastest; the module's docstring says why."""
    if shared and jax.default_backend() != "cpu":
        return partial(_native, stride=stride, padding=padding)
    if shared and stride == 1 and kernel == 3 and padding == "SAME":
        return conv3x3
    return partial(_by_patches, stride=stride, padding=padding)


def _by_patches(x: Array, w: Array, stride: int, padding: str) -> Array:
    """Patches times weights, as a product of two matrices: one of more axes is slow on a CPU."""
    kernel, _, channels, filters = w.shape
    # A 1x1 kernel needs no neighbours: its patches are the images themselves
    one = kernel == 1
    p = x[:, ::stride, ::stride] if one else patches(x, kernel, stride, padding == "SAME")
    y = product(p.reshape(-1, kernel * kernel * channels), w.reshape(-1, filters))
    return y.reshape(*p.shape[:3], filters)


def product(a: Array, b: Array) -> Array:
    """a @ b, summed in float32 at least; see `_result` for the type of the result."""
    return jnp.matmul(a, b, preferred_element_type=_result(a))


def _result(x: Array) -> jnp.dtype:
    """The type of a product of arrays like x, and so that of the products in its derivatives.

    An accelerator is fast where all have one type: it sums in float32, and rounds the sums. A CPU
    gains nothing by rounding, and keeps the sums as they are.
    """
    if jax.default_backend() != "cpu":
        return x.dtype
    return jnp.promote_types(x.dtype, jnp.float32)


def _native(x: Array, w: Array, stride: int = 1, padding: str = "SAME") -> Array:
    return jax.lax.conv_general_dilated(
        x,
        w,
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        preferred_element_type=_result(x),
    )


@jax.custom_vjp
def conv3x3(x: Array, w: Array) -> Array:
    """x [B,H,W,Ch] convolved with w [3,3,Ch,F] at stride 1, in the form for a CPU.

    <dy, x * w> is linear in dy, x and w. The gradient in x is therefore a convolution with the
    turned kernel, and the derivatives of the gradient in w are convolutions too: this function and
    `kernel_gradient` are each other's derivatives, to any order in reverse mode.
    """
    return winograd.conv3x3(x, w) if winograd.pays(x, w.shape[-1]) else _native(x, w)


@jax.custom_vjp
def kernel_gradient(x: Array, dy: Array) -> Array:
    """Gradient in w [3,3,Ch,F] of <dy, conv3x3(x, w)> for x [B,H,W,Ch], dy [B,H,W,F]."""
    if winograd.pays(x, dy.shape[-1]):
        return winograd.kernel_gradient(x, dy)
    return _kernel_gradient_by_patches(x, dy)


def _kernel_gradient_by_patches(x: Array, dy: Array) -> Array:
    p = patches(x, 3)
    flat = product(p.reshape(-1, p.shape[-1]).T, dy.reshape(-1, dy.shape[-1]))
    return flat.reshape(3, 3, x.shape[-1], dy.shape[-1])


def _turned(w: Array) -> Array:
    """The kernel of the transposed convolution: rotated by 180 degrees, Ch and F exchanged."""
    return jnp.flip(w, (0, 1)).swapaxes(2, 3)


def _conv3x3_vjp(kept: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    (x, w) = kept
    # dy comes in the type of the sums; products take inputs of one type
    dy = dy.astype(kept[0].dtype)
    return conv3x3(dy, _turned(w)).astype(x.dtype), kernel_gradient(x, dy).astype(w.dtype)


def _kernel_gradient_vjp(kept: tuple[Array, Array], dw: Array) -> tuple[Array, Array]:
    (x, dy) = kept
    dw = dw.astype(kept[0].dtype)
    return conv3x3(dy, _turned(dw)).astype(x.dtype), conv3x3(x, dw).astype(dy.dtype)


conv3x3.defvjp(lambda x, w: (conv3x3(x, w), (x, w)), _conv3x3_vjp)
kernel_gradient.defvjp(lambda x, dy: (kernel_gradient(x, dy), (x, dy)), _kernel_gradient_vjp)


def max_pool(x: Array, size: int = 2) -> Array:
    """Maximum over size x size windows of x [B,H,W,F], at stride `size`.

    Incomplete windows are dropped, as in PyTorch. The gradient goes to the first of equal maxima.
    """
    # Each place of the windows is a strided view; the module's docstring says why
    rows = x.shape[1] // size * size
    cols = x.shape[2] // size * size
    return largest([x[:, i:rows:size, j:cols:size] for i in range(size) for j in range(size)])


def largest(views: Sequence[Array]) -> Array:
    """Elementwise maximum of arrays, NaN where one is; the gradient goes to the first of equals."""
    # Not `jnp.maximum`, which would share the gradient out between equal maxima. They are common:
    # a constant patch of an image has the same output at every place. A NaN compares as false: it
    # has to be kept by name, or training that went wrong might continue unnoticed
    best = views[0]
    for view in views[1:]:
        best = jnp.where((best >= view) | jnp.isnan(best), best, view)
    return best
