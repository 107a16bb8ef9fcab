"""Convolution and pooling as plain matrix products and maxima.

`vmap` over tasks gives every task its own kernel. A native convolution then becomes a grouped one, which XLA runs
slowly, most of all its derivatives; patches times weights becomes a batched matrix product at every order of
derivative. Pooling by maxima over shifted views has the same virtue against `reduce_window`.
"""

import jax.numpy as jnp

from metalearn.base import Array


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an axis so that the output has ceil(size / stride) places (TensorFlow's 'SAME')."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def patches(x: Array, kernel: int, stride: int = 1) -> Array:
    """Neighbourhoods [B, H', W', kernel*kernel*Ch] of x [B,H,W,Ch], zero-padded at the border."""
    _, height, width, _ = x.shape
    rows, cols = same_padding(height, kernel, stride), same_padding(width, kernel, stride)
    x = jnp.pad(x, ((0, 0), rows, cols, (0, 0)))
    tall, wide = x.shape[1] - kernel + 1, x.shape[2] - kernel + 1
    views = [x[:, i : i + tall : stride, j : j + wide : stride] for i in range(kernel) for j in range(kernel)]
    return jnp.concatenate(views, -1)


def conv(x: Array, w: Array, stride: int = 1, dtype: jnp.dtype = jnp.float32) -> Array:
    """Convolution of x [B,H,W,Ch] with w [kernel, kernel, Ch, F], 'SAME' padding; float32 [B, H', W', F].

    dtype is that of the products' inputs; sums are kept in float32. The product stays two-dimensional, which is
    what makes it fast on a CPU.
    """
    kernel, _, channels, filters = w.shape
    if kernel == 1:
        p = x[:, ::stride, ::stride]
    else:
        p = patches(x.astype(dtype), kernel, stride)
    flat = p.reshape(-1, kernel * kernel * channels).astype(dtype)
    y = jnp.matmul(flat, w.reshape(-1, filters).astype(dtype), preferred_element_type=x.dtype)
    return y.reshape(*p.shape[:3], filters)


def max_pool(x: Array, size: int = 2) -> Array:
    """Maximum over size x size windows of x [B,H,W,F], stride `size`, incomplete windows dropped (as PyTorch).

    The gradient goes to the first of equal maxima.
    """
    rows, cols = x.shape[1] // size * size, x.shape[2] // size * size
    views = [x[:, i:rows:size, j:cols:size] for i in range(size) for j in range(size)]
    best = views[0]
    for view in views[1:]:
        best = jnp.where(best >= view, best, view)
    return best
