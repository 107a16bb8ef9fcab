"""Random image transforms on the device, different for every image."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metalearn.data.distort import affine, cutout, noise, rotate, salt, zoom
from metalearn.errors import UserError
from metalearn.types import Array, Key, random_key


def flip(key: Key, x: Array) -> Array:
    """Mirror each image of x uint8 [B,H,W,Ch] left to right with probability one half."""
    mirrored = jax.random.bernoulli(key, jnp.float32(0.5), (len(x), 1, 1, 1))
    return jnp.where(mirrored, x[:, :, ::-1], x)


def crop(key: Key, x: Array) -> Array:
    """Shift each image of x uint8 [B,H,W,Ch] by up to an eighth of its size, onto black."""
    _, height, width, _ = x.shape
    tall = height // 8
    wide = width // 8
    # Padding and a random window, as the 32-pixel images of CIFAR are usually cropped
    padded = jnp.pad(x, ((0, 0), (tall, tall), (wide, wide), (0, 0)))
    most = jnp.array([2 * tall + 1, 2 * wide + 1], jnp.int32)
    corner = jax.random.randint(key, (len(x), 2), 0, most, jnp.int32)

    def window(image: Array, at: Array) -> Array:
        return jax.lax.dynamic_slice(image, (at[0], at[1], jnp.int32(0)), x.shape[1:])

    return jax.vmap(window)(padded, corner)


def jitter(key: Key, x: Array) -> Array:
    """Random brightness, contrast and saturation of each image of x uint8 [B,H,W,Ch].

    Each by a factor in [0.6, 1.4], in this order; the three factors of the few-shot literature
    (Chen et al. 2019).
    """
    shape = (3, len(x), 1, 1, 1)
    bright, contrast, colour = jax.random.uniform(key, shape, jnp.float32, minval=0.6, maxval=1.4)
    channels = x.shape[-1]
    # ITU-R 601 luma, as Pillow makes RGB grey
    shares = [0.299, 0.587, 0.114] if channels == 3 else [1 / channels] * channels
    grey_weights = jnp.array(shares, jnp.float32)
    y = jnp.clip(x.astype(jnp.float32) * bright, 0, 255)
    mean = (y @ grey_weights).mean((1, 2), keepdims=True)[..., None]
    y = jnp.clip(mean + (y - mean) * contrast, 0, 255)
    grey = (y @ grey_weights)[..., None]
    y = jnp.clip(grey + (y - grey) * colour, 0, 255)
    return jnp.round(y).astype(x.dtype)


TRANSFORMS: dict[str, Callable[[Key, Array], Array]] = {
    "flip": flip,
    "crop": crop,
    "jitter": jitter,
    "rotate": rotate,
    "affine": affine,
    "zoom": zoom,
    "salt": salt,
    "noise": noise,
    "cutout": cutout,
}


def augmentation(names: str) -> Callable[[Key, Array], Array] | None:
    """A function that applies the named transforms in order; None for 'none'.

    Args:
      names: keys of `TRANSFORMS`, separated by commas.

    Raises:
      UserError: unknown name.

    Example: each image is altered by itself, and stays uint8.

        >>> import jax, jax.numpy as jnp
        >>> from metalearn.data.augment import augmentation
        >>> augment = augmentation("flip,crop")
        >>> images = augment(jax.random.key(0), jnp.zeros((2, 32, 32, 3), jnp.uint8))
        >>> images.shape, images.dtype
        ((2, 32, 32, 3), dtype('uint8'))
    """
    if names == "none":
        return None
    chosen = []
    for name in names.split(","):
        if name not in TRANSFORMS:
            raise UserError(
                f"unknown augmentation '{name}': choose from {', '.join(TRANSFORMS)}, or none"
            )
        chosen.append(TRANSFORMS[name])

    def augment(key: Key, x: Array) -> Array:
        for i, transform in enumerate(chosen):
            x = transform(jax.random.fold_in(key, i), x)
        return x

    return augment


class Copies(NamedTuple):
    """Augmented copies of the support images at test; heads are fitted to them all.

    A split of M images is read as (number + 1) * M: row v * M + i is version v of image i, and
    version 0 is the image itself. A version depends on v and i alone, so it is the same in every
    episode and for every method.

    Attributes:
      number: versions of each support image; 1 is the image itself.
      transform: `(key, uint8 images) -> uint8 images`, makes every version but 0.
    """

    number: int = 1
    transform: Callable[[Key, Array], Array] | None = None

    @property
    def versions(self) -> int:
        """How many of each image a split is read as, itself included."""
        return 1 if self.transform is None else self.number + 1

    def rows(self, indices: Array, shots: int, size: int) -> tuple[Array, int]:
        """The rows [N,K'+Q] of an episode's support copies and queries, and K', copies a class.

        Args:
          indices: the episode's positions [N,K+Q] in the split.
          shots: K.
          size: number of images of the split.
        """
        if self.transform is None:
            return indices, shots
        support, query = indices[:, :shots], indices[:, shots:]
        copies = [support + v * size for v in range(1, self.versions)]
        return jnp.concatenate([*copies, query], 1), shots * self.number

    def altered(self, x: Array, rows: Array, size: int) -> Array:
        """The versions of images that rows ask for, uint8 [B,H,W,Ch].

        Args:
          x: the images themselves, uint8 [B,H,W,Ch].
          rows: [B], as `rows` gives them.
          size: number of images of the split.
        """
        if self.transform is None:
            return x
        transform = self.transform

        def one(image: Array, row: Array) -> Array:
            # The key depends on version and image alone: the same in every episode and method
            version = row // size
            key = jax.random.fold_in(jax.random.fold_in(random_key(0), version), row % size)
            return jnp.where(version == 0, image, transform(key, image[None])[0])

        return jax.vmap(one)(x, rows)


THEMSELVES = Copies()
