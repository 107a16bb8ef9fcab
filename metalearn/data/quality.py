"""What makes a photograph a poor example of a thing: advice, never a reason to refuse it.

Blur is measured by how steep the steepest edges are. Between pixels that are neighbours, a sharp
edge makes about half of the difference that it makes between pixels four apart; a blurred edge is
a slope, and makes a quarter. The usual variance of a Laplacian (Pech-Pacheco et al. 2000) depends
on contrast and on how much there is to see; this ratio hardly does.

The limits are set by the 5,421 photographs of the Grocery Store data (`grocery.py`), of which 2 are
in doubt at 224 x 224 pixels. Blurred by a Gaussian of 3 pixels, with which EfficientNet-Lite0's
class means are right half as often, all of 600 are.
"""

import numpy as np
from PIL import Image

GAUGE = 224  # pixels a side that are looked at, at most
ENLARGED = 3  # times that a photograph with too few pixels is enlarged, at least
DARK = 60  # of 255: 19 of 20 pixels of a very dark photograph are darker
NEAR = 16  # of 255, by which pixels of nearly the same colour differ in each channel, at most
PLAIN = 0.97  # share of pixels near the median colour
EDGES = 0.002  # share of pixels that are the steepest: a sharp thing may be small
BLURRED = 0.3  # of the difference over four pixels
CONTRAST = 12  # of 255: difference over four pixels below which there is no edge to judge by


def doubts(pixels: np.ndarray, width: int, height: int) -> tuple[str, ...]:
    """Why a photograph may be a poor example, in words; () usually.

    Args:
      pixels: uint8 [S, S, 3], as a network sees it.
      width: of the photograph itself, in pixels.
      height: of the photograph itself, in pixels.
    """
    few = ENLARGED * min(width, height) < len(pixels)
    found = [f"only {width} x {height} pixels"] if few else []
    image = Image.fromarray(pixels)
    colours = np.asarray(image.resize((64, 64), Image.Resampling.BOX)).reshape(-1, 3)
    if np.percentile(colours.mean(axis=1), 95) < DARK:
        found.append("very dark")
    elif _near_median(colours) > PLAIN:
        found.append("nearly all one colour")
    elif not few and steepness(_gauged(image)) < BLURRED:  # what is enlarged is always blurred
        found.append("blurred")
    return tuple(found)


def _near_median(colours: np.ndarray) -> float:
    """The share of colours uint8 [N, 3] that are near the median."""
    away = np.abs(colours - np.median(colours, axis=0)).max(axis=1)
    return float((away <= NEAR).mean())


def _gauged(image: Image.Image) -> np.ndarray:
    """Brightness [S, S], of at most `GAUGE` pixels a side."""
    grey = image.convert("L")
    if grey.width > GAUGE:
        grey = grey.resize((GAUGE, GAUGE), Image.Resampling.BICUBIC)
    return np.asarray(grey, np.int16)


def steepness(grey: np.ndarray) -> float:
    """How steep the steepest edges of int [H, W] are: 1/4 of a blurred image, 1/2 of a sharp one.

    The difference between neighbours as a share of the one over four pixels, each the least of
    its steepest. Of the shares along rows and along columns, the lower: motion blurs only one of
    them. 1 where there is no edge.
    """
    shares = [1.0]
    for lines in (grey, grey.T):
        if len(lines) <= 4:
            continue
        over_four = _high(np.abs(lines[4:] - lines[:-4]))
        if over_four >= CONTRAST:
            shares.append(_high(np.abs(lines[1:] - lines[:-1])) / over_four)
    return min(shares)


def _high(values: np.ndarray) -> int:
    """The least of the largest `EDGES` of integers from 0 to 255; counting is the fastest."""
    counts = np.bincount(values.ravel(), minlength=256).cumsum()
    return int(np.searchsorted(counts, (1 - EDGES) * counts[-1]))
