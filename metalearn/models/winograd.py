"""3x3 convolution by Winograd's minimal filtering, F(2x2, 3x3): 16 products for 36.

Lavin & Gray 2016, section 4.1: of each tile of 4x4 places, two apart, y = A' [(G w G') . (B' x B)] A gives 2x2 places.
Every place of the tiles is a matrix product of its own over all tiles; tiles take 4 values in memory a pixel, where
patches take 9. What A, B and G do are sums and halves: the result differs from other forms by float rounding alone.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from metalearn.base import Array, largest_divisor

B = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
G = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.0, 0.0, 1.0))
A = ((1, 0), (1, 1), (1, -1), (0, -1))
PLACES = [(i, j) for i in range(4) for j in range(4)]

AT_ONCE = 25 * 16 * 16 * 64  # numbers of x or y that are tiled at a time, to stay in a processor's cache


def pays(x: Array, filters: int) -> bool:
    """Whether it is worth while for x [B,H,W,Ch]: whole tiles, not few of them, of enough channels, in full precision.

    These bounds were measured on a CPU with Conv4 of 32 and of 64 filters.
    """
    _, height, width, channels = x.shape
    tiled = height % 2 == width % 2 == 0 and min(height, width) >= 8
    return tiled and min(channels, filters) >= 64 and x.dtype in (jnp.float32, jnp.float64)


def conv3x3(x: Array, w: Array) -> Array:
    """x [B,H,W,Ch] convolved with w [3,3,Ch,F] at stride 1, zero-padded; H and W are even."""
    g = jnp.asarray(G, w.dtype)
    u = jnp.einsum("ik,jl,klcf->ijcf", g, g, w)
    return jax.lax.map(lambda x: _conv3x3(x, u), _parts(x, w.shape[-1])).reshape(*x.shape[:3], -1)


def _conv3x3(x: Array, u: Array) -> Array:
    n, height, width, _ = x.shape
    m = [tile @ u[place] for tile, place in zip(_tiles(x), PLACES, strict=True)]
    columns = tuple(zip(*A, strict=True))
    y = [[_combine(row, column, lambda i, j: m[4 * i + j]) for column in columns] for row in columns]
    shape = (n, height // 2, width // 2, u.shape[-1])
    whole = jnp.stack([jnp.stack([part.reshape(shape) for part in row], 3) for row in y], 2)
    return whole.reshape(n, height, width, -1)


def kernel_gradient(x: Array, dy: Array) -> Array:
    """Gradient in w [3,3,Ch,F] of <dy, conv3x3(x, w)> for x [B,H,W,Ch], dy [B,H,W,F]."""
    channels, filters = x.shape[-1], dy.shape[-1]

    def add(du: Array, part: tuple[Array, Array]) -> tuple[Array, None]:
        return du + _product_gradients(*part), None

    du = jax.lax.scan(add, jnp.zeros((16, channels, filters), x.dtype), (_parts(x, filters), _parts(dy, channels)))[0]
    g = jnp.asarray(G, du.dtype)
    return jnp.einsum("ik,jl,ijcf->klcf", g, g, du.reshape(4, 4, channels, filters))


def _product_gradients(x: Array, dy: Array) -> Array:
    n, height, width, filters = dy.shape
    split = dy.reshape(n, height // 2, 2, width // 2, 2, filters)
    dm = [_combine(A[i], A[j], lambda a, b: split[:, :, a, :, b]).reshape(-1, filters) for i, j in PLACES]
    return jnp.stack([tile.T @ d for tile, d in zip(_tiles(x), dm, strict=True)])


def _parts(x: Array, others: int) -> Array:
    """Images [B,H,W,Ch] in equal parts [B/n,n,H,W,Ch] that fit a cache; the result has `others` channels."""
    n, height, width, channels = x.shape
    most = max(AT_ONCE // (height * width * max(channels, others)), 1)
    size = largest_divisor(n, most)
    return x.reshape(-1, size if 4 * size > most else n, height, width, channels)


def _tiles(x: Array) -> list[Array]:
    """B' x B: [B*H/2*W/2, Ch] at each of the `PLACES`."""
    n, height, width, channels = x.shape
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    split = x.reshape(n, height // 2 + 1, 2, width // 2 + 1, 2, channels)

    def at(i: int, j: int) -> Array:
        rows, columns = slice(i // 2, i // 2 + height // 2), slice(j // 2, j // 2 + width // 2)
        return split[:, rows, i % 2, columns, j % 2]

    return [_combine(B[i], B[j], at).reshape(-1, channels) for i, j in PLACES]


def _combine(rows: Sequence[int], columns: Sequence[int], at: Callable[[int, int], Array]) -> Array:
    """Sum of rows[i] columns[j] at(i, j), all of them 1, 0 or -1."""
    terms = [(r * c, at(i, j)) for i, r in enumerate(rows) for j, c in enumerate(columns) if r and c]
    first, *others = (value if sign > 0 else -value for sign, value in terms)
    return sum(others, first)
