"""The images that pre-trained networks take."""

from metalearn.types import InputSpec

# Of the pixels of ImageNet, 0..255
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


def square(
    size: int, mean: tuple[float, ...], std: tuple[float, ...], resize: str = "bilinear"
) -> InputSpec:
    """Square images of three channels.

    Args:
      size: their side, in pixels.
      mean: of each channel's pixels, 0..255.
      std: likewise.
      resize: filter for images of another size.
    """
    scaled = [tuple(value / 255 for value in values) for values in (mean, std)]
    return InputSpec((size, size), scaled[0], scaled[1], resize)
