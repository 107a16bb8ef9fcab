"""Random distortions on the device, different for every image.

`metalearn.data.augment` lists them with the other transforms.
"""

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from metalearn.types import Array, Key

STEEPEST = 15.0  # degrees that an image is rotated by, at most
SMALLEST = 0.35  # of an image's area, what `zoom` keeps at least
STRETCH = 4 / 3  # of one side against the other, by `zoom`, at most
SCALE = 1.4  # of an image's size, what `affine` makes of it at most; one over it at least
SHIFT = 0.125  # of an image's side, how far `affine` moves it at most
SALTED = 0.02  # share of the pixels that `salt` replaces
GRAIN = 0.04 * 255  # standard deviation of `noise`
WHITE = 255


def rotate(key: Key, x: Array) -> Array:
    """Rotate each image of x uint8 [B,H,W,Ch] by up to 15 degrees either way, onto black."""
    angles = jax.random.uniform(key, (len(x),), jnp.float32, minval=-STEEPEST, maxval=STEEPEST)
    return jax.vmap(rotated)(x, angles)


def affine(key: Key, x: Array) -> Array:
    """Rotate, resize and shift each image of x uint8 [B,H,W,Ch], onto black.

    By up to 15 degrees either way; to 1 / 1.4 to 1.4 of its size, uniformly in the logarithm; by up
    to an eighth of each side. French et al. 2018 adapt between digits with such maps.
    """
    (angle_key, scale_key, shift_key) = jax.random.split(key, 3)
    number = (len(x),)
    angles = jax.random.uniform(angle_key, number, jnp.float32, minval=-STEEPEST, maxval=STEEPEST)
    scales = SCALE ** jax.random.uniform(scale_key, number, jnp.float32, minval=-1.0)
    shifts = jax.random.uniform(shift_key, (len(x), 2), jnp.float32, minval=-SHIFT, maxval=SHIFT)
    return jax.vmap(rotated)(x, angles, scales, shifts)


def rotated(
    image: Array, angle: Array, scale: Array | float = 1.0, shift: Array | None = None
) -> Array:
    """The image uint8 [H,W,Ch] about its centre, anticlockwise by an angle in degrees.

    Bilinear; what comes from outside the image is black.

    Args:
      image: the image.
      angle: in degrees.
      scale: of its size, about the centre.
      shift: float32 [2], down and to the right, as shares of height and width; None for none.
    """
    height, width, _ = image.shape
    (down, right) = (0.0, 0.0) if shift is None else (shift[0] * height, shift[1] * width)
    rows = jnp.arange(height, dtype=jnp.float32)[:, None] - (height - 1) / 2 - down
    cols = jnp.arange(width, dtype=jnp.float32) - (width - 1) / 2 - right
    cosine = jnp.cos(jnp.deg2rad(angle)) / scale
    sine = jnp.sin(jnp.deg2rad(angle)) / scale
    # Where each place of the result comes from; rows count downwards
    from_rows = cosine * rows + sine * cols + (height - 1) / 2
    from_cols = cosine * cols - sine * rows + (width - 1) / 2

    def of_channel(channel: Array) -> Array:
        return map_coordinates(channel, [from_rows, from_cols], order=1, mode="constant")

    return _pixels(jax.vmap(of_channel, -1, -1)(image.astype(jnp.float32)))


def zoom(key: Key, x: Array) -> Array:
    """Resize a random window of each image of x uint8 [B,H,W,Ch] to the whole image's size.

    Its area is 0.35 to 1 of the image's, uniformly; its aspect, against the image's own, is 3/4 to
    4/3, uniformly in the logarithm; its place is uniform. After Szegedy et al. 2015, section 6,
    where the area is 0.08 at least, which leaves little of a small image. A window longer than the
    image is cut to its side, which leaves area and aspect within their bounds.
    """
    area_key, aspect_key, place_key = jax.random.split(key, 3)
    area = jax.random.uniform(area_key, (len(x),), jnp.float32, minval=SMALLEST, maxval=1.0)
    stretch = STRETCH ** jax.random.uniform(aspect_key, (len(x),), jnp.float32, minval=-1.0)
    sides = jnp.minimum(jnp.sqrt(jnp.stack([area * stretch, area / stretch], 1)), 1.0)
    corners = (1 - sides) * jax.random.uniform(place_key, (len(x), 2), jnp.float32)
    return jax.vmap(window)(x, corners, sides)


def window(image: Array, corner: Array, sides: Array) -> Array:
    """A window of the image uint8 [H,W,Ch], resized to the image's size; bilinear.

    Args:
      image: the whole image.
      corner: float32 [2], the window's first row and column, as shares of height and width.
      sides: float32 [2], its height and width, as shares of the image's.
    """
    # One axis after the other: whole rows are gathered faster than single places
    y = image.astype(jnp.float32)
    for axis in (0, 1):
        size = image.shape[axis]
        # Centres of pixels are half a pixel from their borders
        inside = (jnp.arange(size, dtype=jnp.float32) + 0.5) / size
        places = (corner[axis] + sides[axis] * inside) * size - 0.5
        y = _interpolated(y, jnp.clip(places, 0, size - 1), axis)
    return _pixels(y)


def _interpolated(y: Array, places: Array, axis: int) -> Array:
    """y at fractional places of one of its axes, linearly."""
    below = jnp.floor(places).astype(jnp.int32)
    above = jnp.minimum(below + 1, y.shape[axis] - 1)
    shape = [1] * y.ndim
    shape[axis] = -1
    share = (places - below).reshape(shape)
    return jnp.take(y, below, axis) * (1 - share) + jnp.take(y, above, axis) * share


def salt(key: Key, x: Array) -> Array:
    """Salt and pepper: 2 % of the pixels of x uint8 [B,H,W,Ch] turn black or white."""
    # All channels of a pixel alike: without a colour
    drawn = jax.random.uniform(key, (*x.shape[:-1], 1), jnp.float32)
    peppered = jnp.where(drawn < SALTED / 2, 0, x)
    return jnp.where(drawn >= 1 - SALTED / 2, WHITE, peppered).astype(x.dtype)


def noise(key: Key, x: Array) -> Array:
    """Add Gaussian noise to x uint8 [B,H,W,Ch], of standard deviation 0.04 of the range."""
    return _pixels(x.astype(jnp.float32) + GRAIN * jax.random.normal(key, x.shape, jnp.float32))


def cutout(key: Key, x: Array) -> Array:
    """Blacken a square of each image of x uint8 [B,H,W,Ch], half as long as its shorter side.

    DeVries & Taylor 2017: the centre is uniform, so that part of a square may lie outside; half the
    side is what they chose for CIFAR-10. There the square is grey, the mean of the data.
    """
    _, height, width, _ = x.shape
    side = min(height, width) // 2
    sizes = jnp.array([height, width], jnp.int32)
    first = jax.random.randint(key, (len(x), 2), 0, sizes, jnp.int32) - side // 2
    rows = jnp.arange(height) - first[:, :1]
    cols = jnp.arange(width) - first[:, 1:]
    tall = (rows >= 0) & (rows < side)
    wide = (cols >= 0) & (cols < side)
    return jnp.where((tall[:, :, None] & wide[:, None, :])[..., None], 0, x).astype(x.dtype)


def _pixels(y: Array) -> Array:
    """Values rounded to whole ones of 0..255, uint8."""
    return jnp.round(jnp.clip(y, 0, WHITE)).astype(jnp.uint8)
