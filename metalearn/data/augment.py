"""Random image transforms on the device, different for every image."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metalearn.errors import UserError
from metalearn.types import Array, Key, random_key


def flip(key: Key, x: Array) -> Array:
    """Mirror each image of x uint8 [B,H,W,Ch] left to right with probability one half."""
    mirrored = jax.random.bernoulli(key, jnp.float32(0.5), (len(x), 1, 1, 1))
    return jnp.where(mirrored, x[:, :, ::-1], x)


def crop(key: Key, x: Array) -> Array:
    """Shift each image of x uint8 [B,H,W,Ch] by up to an eighth of its size either way, black where
    it moved from.
    """
    _, height, width, _ = x.shape
    tall = height // 8
    wide = width // 8
    padded = jnp.pad(x, ((0, 0), (tall, tall), (wide, wide), (0, 0)))
    most = jnp.array([2 * tall + 1, 2 * wide + 1], jnp.int32)
    corner = jax.random.randint(key, (len(x), 2), 0, most, jnp.int32)

    def window(image: Array, at: Array) -> Array:
        return jax.lax.dynamic_slice(image, (at[0], at[1], jnp.int32(0)), x.shape[1:])

    return jax.vmap(window)(padded, corner)


def jitter(key: Key, x: Array) -> Array:
    """Brightness, contrast and saturation of each image of x uint8 [B,H,W,Ch], each by a factor in
    [0.6, 1.4].

    The three factors of the few-shot literature (Chen et al. 2019), applied in that order.
    """
    shape = (3, len(x), 1, 1, 1)
    bright, contrast, colour = jax.random.uniform(key, shape, jnp.float32, minval=0.6, maxval=1.4)
    channels = x.shape[-1]
    shares = [0.299, 0.587, 0.114] if channels == 3 else [1 / channels] * channels
    grey_weights = jnp.array(shares, jnp.float32)
    y = jnp.clip(x.astype(jnp.float32) * bright, 0, 255)
    mean = (y @ grey_weights).mean((1, 2), keepdims=True)[..., None]
    y = jnp.clip(mean + (y - mean) * contrast, 0, 255)
    grey = (y @ grey_weights)[..., None]
    y = jnp.clip(grey + (y - grey) * colour, 0, 255)
    return jnp.round(y).astype(x.dtype)


TRANSFORMS = {"flip": flip, "crop": crop, "jitter": jitter}


def augmentation(names: str) -> Callable[[Key, Array], Array] | None:
    """The transforms named, comma-separated, in that order; None for 'none'.

    Raises:
      UserError: unknown name.
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
    """Augmented copies of the support images at test, to which a head is fitted in their stead.

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
        """An episode's positions [N, K+Q] in a split of `size` images with rows of copies [N,
        K'+Q], and K'.
        """
        if self.transform is None:
            return indices, shots
        support, query = indices[:, :shots], indices[:, shots:]
        copies = [support + v * size for v in range(1, self.versions)]
        return jnp.concatenate([*copies, query], 1), shots * self.number

    def altered(self, x: Array, rows: Array, size: int) -> Array:
        """The versions at rows [B], of a split of `size` images, of the uint8 images x [B,H,W,Ch]
        that they are of.
        """
        if self.transform is None:
            return x
        transform = self.transform

        def one(image: Array, row: Array) -> Array:
            version = row // size
            key = jax.random.fold_in(jax.random.fold_in(random_key(0), version), row % size)
            return jnp.where(version == 0, image, transform(key, image[None])[0])

        return jax.vmap(one)(x, rows)


THEMSELVES = Copies()
