"""3x3 convolution by Winograd's minimal filtering, F(2x2, 3x3) and F(4x4, 3x3).

Lavin & Gray 2016, section 4.1: of each tile of m+2 by m+2 places, m apart,
y = A' [(G w G') . (B' x B)] A gives m x m places, by 16 products instead of 36 (m = 2), or 36
instead of 144 (m = 4). Every place of the tiles is a matrix product of its own over all tiles.
Tiles take 4 values a pixel in memory (m = 2; 2.25 for m = 4), where patches take 9. The result
differs from that of other forms by float rounding alone: in float32, by some 1e-6 of the largest
value for m = 2, 1e-5 for m = 4.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metalearn.types import Array, largest_divisor


class Form(NamedTuple):
    """The matrices of F(m x m, 3 x 3) as Lavin & Gray give them.

    Attributes:
      A: [m+2, m], of the output.
      B: [m+2, m+2], of the images; transposed, B'.
      G: [m+2, 3], of the kernel.
    """

    A: Sequence[Sequence[int]]
    B: Sequence[Sequence[int]]
    G: Sequence[Sequence[float]]

    @property
    def step(self) -> int:
        """m, the number of places from tile to tile."""
        return len(self.A[0])

    @property
    def places(self) -> list[tuple[int, int]]:
        """The places of a tile, row by row."""
        return [(i, j) for i in range(len(self.A)) for j in range(len(self.A))]


TWO = Form(
    A=((1, 0), (1, 1), (1, -1), (0, -1)),
    B=((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    G=((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
)
FOUR = Form(
    A=((1, 0, 0, 0), (1, 1, 1, 1), (1, -1, 1, -1), (1, 2, 4, 8), (1, -2, 4, -8), (0, 0, 0, 1)),
    B=(
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
    G=(
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
)

# Numbers of x or y that are tiled at a time, so that tiles stay in a processor's cache
AT_ONCE = 25 * 16 * 16 * 64


def pays(x: Array, filters: int) -> bool:
    """Whether this form is faster for x [B,H,W,Ch], and possible.

    Tiles must be whole, and transforming them costs additions: few tiles or few channels do not
    repay them. These bounds were measured on a CPU with Conv4 of 32 and of 64 filters.
    """
    _, height, width, channels = x.shape
    # Full precision only: the transforms amplify rounding
    tiled = height % 2 == width % 2 == 0 and min(height, width) >= 8
    return tiled and min(channels, filters) >= 64 and x.dtype in (jnp.float32, jnp.float64)


def conv3x3(x: Array, w: Array) -> Array:
    """x [B,H,W,Ch] convolved with w [3,3,Ch,F] at stride 1, zero-padded; H and W are even.

    By F(2x2, 3x3): with larger tiles, transforming what goes in and out of them takes the time that
    fewer products save.
    """
    # The kernel's transform is the same for all parts: it stays outside the loop over them
    g = jnp.asarray(TWO.G, w.dtype)
    u = jnp.einsum("ik,jl,klcf->ijcf", g, g, w)
    filters = w.shape[-1]
    y = jax.lax.map(lambda x: _conv3x3(x, u), _parts(x, filters))
    return y.reshape(*x.shape[:3], filters)


def _conv3x3(x: Array, u: Array) -> Array:
    n, height, width, _ = x.shape
    m = [tile @ u[place] for tile, place in zip(_tiles(x, TWO), TWO.places, strict=True)]
    columns = tuple(zip(*TWO.A, strict=True))
    # A' m A, one place of the 2x2 output at a time
    y = [
        [_combine(row, column, lambda i, j: m[4 * i + j]) for column in columns] for row in columns
    ]
    shape = (n, height // 2, width // 2, u.shape[-1])
    whole = jnp.stack([jnp.stack([part.reshape(shape) for part in row], 3) for row in y], 2)
    return whole.reshape(n, height, width, -1)


def kernel_gradient(x: Array, dy: Array) -> Array:
    """Gradient in w [3,3,Ch,F] of <dy, conv3x3(x, w)> for x [B,H,W,Ch], dy [B,H,W,F].

    By F(4x4, 3x3) where H and W are divisible by 4: its products, [Ch, tiles] by [tiles, F], have
    few rows and columns and are slow, so fewer of them pay here.
    """
    form = FOUR if x.shape[1] % 4 == x.shape[2] % 4 == 0 else TWO
    channels = x.shape[-1]
    filters = dy.shape[-1]
    side = len(form.A)

    # The gradient in w is G' du G, du summed over parts first: one transform in all
    def add(du: Array, part: tuple[Array, Array]) -> tuple[Array, None]:
        return du + _product_gradients(*part, form), None

    du = jnp.zeros((side * side, channels, filters), x.dtype)
    du = jax.lax.scan(add, du, (_parts(x, filters), _parts(dy, channels)))[0]
    g = jnp.asarray(form.G, du.dtype)
    return jnp.einsum("ik,jl,ijcf->klcf", g, g, du.reshape(side, side, channels, filters))


def _product_gradients(x: Array, dy: Array, form: Form) -> Array:
    n, height, width, filters = dy.shape
    m = form.step
    # The transposed output transform: A dy A', one place of a tile at a time
    split = dy.reshape(n, height // m, m, width // m, m, filters)
    places = [
        _combine(form.A[i], form.A[j], lambda a, b: split[:, :, a, :, b]) for i, j in form.places
    ]
    return jnp.stack(
        [tile.T @ d.reshape(-1, filters) for tile, d in zip(_tiles(x, form), places, strict=True)]
    )


def _parts(x: Array, others: int) -> Array:
    """Images [B,H,W,Ch] in equal parts [B/n,n,H,W,Ch] that fit a cache.

    others is the number of channels of the result, which should fit as well.
    """
    n, height, width, channels = x.shape
    most = max(AT_ONCE // (height * width * max(channels, others)), 1)
    size = largest_divisor(max(n, 1), most)  # of no images, no parts of one
    # B may have no divisor near `most` (a prime): tiny parts would cost more than a full cache
    return x.reshape(-1, size if 4 * size > most else max(n, 1), height, width, channels)


def _tiles(x: Array, form: Form) -> list[Array]:
    """B' x B of all tiles: [B*H/m*W/m, Ch] for each place of a tile."""
    n, height, width, channels = x.shape
    m = form.step
    tall = height // m
    wide = width // m
    # Padded to one tile more, so that each place of all tiles is a slice of blocks of m x m places
    x = jnp.pad(x, ((0, 0), (1, m - 1), (1, m - 1), (0, 0)))
    split = x.reshape(n, tall + 1, m, wide + 1, m, channels)

    def at(i: int, j: int) -> Array:
        return split[:, i // m : i // m + tall, i % m, j // m : j // m + wide, j % m]

    return [_combine(form.B[i], form.B[j], at).reshape(-1, channels) for i, j in form.places]


def _combine(rows: Sequence[int], columns: Sequence[int], at: Callable[[int, int], Array]) -> Array:
    """Sum of rows[i] columns[j] at(i, j) over the terms that are not zero."""
    # Left out here: a compiler may not drop 0 * x, which is NaN where x is
    terms = [
        _times(r * c, at(i, j))
        for i, r in enumerate(rows)
        for j, c in enumerate(columns)
        if r and c
    ]
    return sum(terms[1:], terms[0])


def _times(factor: int, x: Array) -> Array:
    # Most factors are 1 or -1, whose products are left out too
    return x if factor == 1 else -x if factor == -1 else factor * x
