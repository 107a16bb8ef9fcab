"""`glyphs`: characters of many scripts, drawn from the fonts that come with matplotlib.

Nothing is downloaded. A class is a character; its drawings are the faces that have it, under random
affine maps and stroke widths. Splits hold whole scripts, so test scripts are unseen in training, as
in Omniglot's alphabets (Lake et al. 2015, https://doi.org/10.1126/science.aab3050). The fonts are
DejaVu (https://dejavu-fonts.github.io) and STIX (https://www.stixfonts.org). The same matplotlib,
Pillow and FreeType give the same bytes.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import PIL
from PIL import Image, ImageFilter, features

from metalearn.data.glyph_classes import CANVAS, FACES, FINE, SCRIPTS, SIDE, characters, render
from metalearn.data.source import Prepared, Reader, Split

DRAWINGS = 20  # of each class
FEW = 4  # characters in no more faces than this are jittered more
SEED = 20


def jitter(rng: np.random.Generator, image: Image.Image, strength: float) -> np.ndarray:
    """A random drawing, uint8 [SIDE, SIDE]: an affine map, then thinner or thicker strokes.

    Args:
      rng: source of the seven random numbers.
      image: the rendering, an 'L' image of CANVAS x CANVAS.
      strength: 1 for characters that several faces vary already, more for others.
    """
    turn, scale, aspect, shear, right, down, weight = rng.uniform(-1, 1, 7)
    angle = np.deg2rad(12) * strength * turn
    zoom = np.exp(0.12 * strength * scale + np.array([1, -1]) * 0.1 * strength * aspect)
    rotate = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rotate @ np.array([[1, 0.2 * strength * shear], [0, 1]]) / zoom[:, None]
    centre = np.full(2, CANVAS / 2)
    offset = centre - matrix @ (centre + 2 * FINE * np.array([right, down]))
    affine = (*matrix[0], offset[0], *matrix[1], offset[1])
    moved = image.transform(
        (CANVAS, CANVAS), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR
    )
    sharp = np.asarray(moved)
    soft = np.asarray(moved.filter(ImageFilter.BoxBlur(2)))
    ink = soft[sharp >= sharp.max() / 2]
    # How bright the thinnest strokes are once blurred
    thin = np.partition(ink, ink.size // 5)[ink.size // 5]
    level = thin * (0.45 + 0.25 * weight)  # ink is what is brighter than this: a low level thickens
    ramp = np.clip((np.arange(256) - level) * max(4, 128 / level) + 128, 0, 255)  # 0 stays 0
    return ramp.astype(np.uint8)[soft].reshape(SIDE, FINE, SIDE, FINE).mean((1, 3)).astype(np.uint8)


def draw(char: str) -> np.ndarray:
    """The drawings of a class, uint8 [DRAWINGS, SIDE, SIDE, 1], the same for every seed."""
    rng = np.random.default_rng([SEED, ord(char)])
    faces = [image for name in FACES if (image := render(name, char)) is not None]
    order = rng.permutation(len(faces))
    strength = 1.4 if len(faces) <= FEW else 1.0
    drawings = [jitter(rng, faces[order[i % len(faces)]], strength) for i in range(DRAWINGS)]
    return np.stack(drawings)[..., None]


def read(folder: Path, scripts: Mapping[str, Sequence[str]] = SCRIPTS) -> Prepared:
    """`Reader.read`: splits of uint8 [M, 28, 28, 1], ink high, 20 drawings a class.

    Args:
      folder: not read.
      scripts: the scripts of each split; fewer make a smaller dataset.

    Returns:
      The splits, their classes named as in 'greek/U+03B1'.
    """
    splits = {}
    for split, classes in characters(scripts).items():
        images = np.concatenate([draw(char) for _, char in classes])
        names = tuple(f"{script.lower()}/U+{ord(char):04X}" for script, char in classes)
        splits[split] = Split(images, np.full(len(classes), DRAWINGS, np.int32), names)
    return Prepared(splits, decoder=f"pillow {PIL.__version__}")


def fingerprint(folder: Path) -> str:
    """Versions of what the drawings depend on; the folder is not read."""
    drawn_by = f"matplotlib {matplotlib.__version__} pillow {PIL.__version__}"
    return (
        f"{drawn_by} freetype {features.version('freetype2')} unicode {unicodedata.unidata_version}"
    )


READER = Reader(read=read, files=(), version=1, rotations=1, fingerprint=fingerprint, lasting=True)
