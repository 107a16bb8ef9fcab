"""The classes of `glyphs`: characters that matplotlib's fonts draw, no two of them alike."""

import functools
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont

SIDE = 28  # pixels of a drawing
FINE = 4  # pixels are drawn this many times finer, then averaged
CANVAS = SIDE * FINE
INK = 18 * FINE  # the longer side of a character, before jitter
EM = 96  # font size that characters are rendered at
# Characters with a shorter longer side (dots, primes) are left out: size is not kept
SMALLEST = EM // 4

# Upright DejaVu Sans has every character used, so any two can be compared. The serif italics are
# left out: in them some letters take the shape of others (Cyrillic te is an m).
UPRIGHT = ("DejaVuSans", "DejaVuSansMono", "DejaVuSerif", "STIXGeneral")
FACES = (
    *UPRIGHT,
    *(
        "DejaVuSans-Bold",
        "DejaVuSans-Oblique",
        "DejaVuSans-BoldOblique",
        "DejaVuSerif-Bold",
        "STIXGeneralBol",
    ),
    *("DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
)

# Scripts by the first word of a character's Unicode name. CANADIAN is the Aboriginal syllabics;
# SYMBOL is every symbol (arrows, operators, currencies, dingbats) but those that differ in position
# alone (Braille, box drawing).
SCRIPTS: Mapping[str, tuple[str, ...]] = {
    "train": ("LATIN", "DIGIT", "GREEK", "COPTIC", "CYRILLIC", "CANADIAN", "SYMBOL"),
    "valid": ("ARMENIAN", "HEBREW", "LAO", "OGHAM"),
    "test": ("ARABIC", "GEORGIAN", "NKO", "TIFINAGH"),
}
SYMBOLS = ((0x0020, 0x00FF), (0x20A0, 0x20CF), (0x2100, 0x24FF), (0x25A0, 0x27FF), (0x2900, 0x2BFF))

# Pairs of faces that lookalikes are searched in; the last finds those that differ in stroke width
# only.
COMPARED = (*((name, name) for name in UPRIGHT), (UPRIGHT[0], "DejaVuSans-Bold"))

# Squared distance of two renderings over the sum of their squared norms: 0 the same, 1 no ink in
# common. Chosen by looking at pairs: below the first, two characters of a split are alike; across
# splits the second is stricter.
ALIKE, ALIKE_ACROSS = 0.07, 0.15


class Face(NamedTuple):
    """One font file: what draws with it and the code points it has a glyph for."""

    font: ImageFont.FreeTypeFont
    points: frozenset[int]


@functools.cache
def load_face(name: str) -> Face:
    """The face of a font file of matplotlib, without layout rules: one code point, one glyph."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    with TTFont(path, lazy=True) as font:
        points = frozenset(
            point for point, glyph in font.getBestCmap().items() if glyph != ".notdef"
        )
    return Face(ImageFont.truetype(str(path), EM, layout_engine=ImageFont.Layout.BASIC), points)


def script_of(char: str) -> str | None:
    """The script a character is filed under; None for those never drawn.

    Marks, spaces, controls and private use have other categories than letters, digits and symbols.
    Characters that decompose (accented, circled, superscript, presentation forms) are variants of
    others.
    """
    category = unicodedata.category(char)
    if (
        category not in {"Lu", "Ll", "Lo", "Nd", "Sm", "Sc", "So"}
        or unicodedata.normalize("NFKD", char) != char
    ):
        return None
    if category.startswith("S"):
        return "SYMBOL" if any(first <= ord(char) <= last for first, last in SYMBOLS) else None
    return unicodedata.name(char).split()[0].split("-")[0]


def render(name: str, char: str) -> Image.Image | None:
    """A character in a face, white on black, centred, as an 'L' image of CANVAS x CANVAS.

    Its longer side is INK. None where the face lacks the character, or draws it smaller than
    SMALLEST.
    """
    face = load_face(name)
    if ord(char) not in face.points:
        return None
    page = Image.new("L", (4 * EM, 3 * EM))
    ImageDraw.Draw(page).text((EM, EM), char, fill=255, font=face.font)
    box = page.getbbox()
    if box is None or max(box[2] - box[0], box[3] - box[1]) < SMALLEST:
        return None
    ink = page.crop(box)
    zoom = INK / max(ink.size)
    width, height = (max(1, round(side * zoom)) for side in ink.size)
    canvas = Image.new("L", (CANVAS, CANVAS))
    canvas.paste(
        ink.resize((width, height), Image.Resampling.BICUBIC),
        ((CANVAS - width) // 2, (CANVAS - height) // 2),
    )
    return canvas


def pixels(name: str, chars: Sequence[str]) -> np.ndarray:
    """Renderings of characters in one face, float32 [C, SIDE * SIDE] in [0, 1]; 0 without one."""
    empty = Image.new("L", (CANVAS, CANVAS))
    images = (render(name, char) or empty for char in chars)
    return np.stack([np.asarray(image.reduce(FINE), np.float32).ravel() for image in images]) / 255


def distances(chars: Sequence[str]) -> np.ndarray:
    """Distances of characters, float32 [C, C] in [0, 1], in the faces where they differ least."""
    nearest = np.ones((len(chars), len(chars)), np.float32)
    for one, other in COMPARED:
        a = pixels(one, chars)
        b = a if one == other else pixels(other, chars)
        norms = np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1)
        apart = 1 - 2 * (a @ b.T) / np.maximum(norms, 1)
        nearest = np.minimum(nearest, np.minimum(apart, apart.T))
    return nearest


def characters(scripts: Mapping[str, Sequence[str]] = SCRIPTS) -> dict[str, list[tuple[str, str]]]:
    """The `(script, character)` classes of each split, by code point, no two alike.

    Of characters that look alike the first by code point stays, whichever split it belongs to.
    """
    split_of = {script: split for split, names in scripts.items() for script in names}
    filed = [(script_of(char), char) for char in map(chr, sorted(load_face(UPRIGHT[0]).points))]
    found = [
        (s, char) for s, char in filed if s in split_of and render(UPRIGHT[0], char) is not None
    ]
    chars = [char for _, char in found]
    splits = np.array([split_of[str(script)] for script, _ in found])
    limit = np.where(splits[:, None] == splits[None, :], ALIKE, ALIKE_ACROSS)
    alike = distances(chars) < limit
    kept: list[int] = []
    for i in range(len(chars)):
        if not alike[i, kept].any():
            kept.append(i)
    return {
        split: [(str(found[i][0]), chars[i]) for i in kept if splits[i] == split]
        for split in scripts
    }
