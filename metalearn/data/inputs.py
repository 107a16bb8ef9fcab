"""Images as a body takes them: its size, its channels, its mean and standard deviation."""

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.data.episodes import Prepare
from metalearn.data.source import Dataset
from metalearn.errors import UserError
from metalearn.types import Array, InputSpec

# Of red, green and blue in grey, ITU-R BT.601, as Pillow has it
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def inputs_of(dataset: Dataset) -> InputSpec:
    """What a body trained on the dataset takes: its images' size, its training split's moments."""
    height, width = dataset.train.images.shape[1:3]
    mean = np.asarray(dataset.mean, np.float32)
    std = np.asarray(dataset.std, np.float32)
    return InputSpec((int(height), int(width)), tuple(mean.tolist()), tuple(std.tolist()))


def standardise(inputs: InputSpec) -> Prepare:
    """uint8 images [..., h, w, c] -> float32 [..., H, W, Ch], standardised per channel.

    Images of another size are resized (antialiased where they shrink), grey ones become colours or
    colours grey where the body takes the other: so a body can be tested on images of another
    dataset, inside the compiled step. A channel with standard deviation 0 is divided by one.
    """
    mean = np.asarray(inputs.mean, np.float32)
    std = np.asarray(inputs.std, np.float32)
    std = np.where(std > 0, std, np.float32(1))

    def prepare(x: Array) -> Array:
        coloured = recoloured(x.astype(jnp.float32), len(mean))
        return (resized(coloured, inputs.size, inputs.resize) / 255 - mean) / std

    return prepare


def resized(x: Array, size: tuple[int, int], method: str = "bilinear") -> Array:
    """Images [..., h, w, c] at another height and width; as they are if they have it."""
    if x.shape[-3:-1] == size:
        return x
    return jax.image.resize(x, (*x.shape[:-3], *size, x.shape[-1]), method)


def recoloured(x: Array, channels: int) -> Array:
    """Images [..., h, w, c] with 1 or 3 channels; as they are if they have as many.

    Raises:
      UserError: neither number is 1, or the other is not 3.
    """
    if x.shape[-1] == channels:
        return x
    if x.shape[-1] == 1 and channels == 3:
        return jnp.repeat(x, 3, axis=-1)
    if x.shape[-1] == 3 and channels == 1:
        return (x * LUMA).sum(-1, keepdims=True)
    raise UserError(
        f"images of {x.shape[-1]} channels do not fit a body that takes {channels}: test it on "
        "images with as many, or 1 for 3, or 3 for 1"
    )
