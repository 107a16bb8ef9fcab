"""Omniglot: 1,623 handwritten characters of 50 alphabets, drawn once by each of 20 people.

Lake, Salakhutdinov & Tenenbaum (2015), Human-level concept learning through probabilistic program
induction, Science 350. Split of Vinyals et al. (2016, https://arxiv.org/abs/1606.04080):
1028/172/423 characters, times four rotations. These are made when the split is put on a device;
`Reader.rotations` says that they belong to the dataset.

Images are uint8 28x28x1, ink high on black. The 105x105 drawings are black and white, so they are
turned to grey before Pillow's Lanczos filter shrinks them (on a bilevel image Pillow would silently
fall back to nearest neighbour and break thin strokes).
"""

import io
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from metalearn.data.archive import damaged, read_zip
from metalearn.data.download import fingerprint
from metalearn.data.source import Reader, RemoteFile, Split
from metalearn.data.splits import load_split

SIZE = 28
_URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
FILES = tuple(
    RemoteFile(name, _URL + name, digest)
    for name, digest in (
        ("images_background.zip", "md5:68d2efa1b9178cc56df9314c21c6e718"),
        ("images_evaluation.zip", "md5:6b91aef0f799c5bb55b94e3f2daec811"),
    )
)


class Facts(NamedTuple):
    """What must hold of one archive, by which it is verified.

    Attributes:
      characters: number of characters.
      ink: mean share of black pixels of the 105x105 drawings; None for any.
      drawers: drawings of each character.
    """

    characters: int
    ink: float | None
    drawers: int = 20


FACTS = (Facts(964, 0.077940), Facts(659, 0.084284))
TOLERANCE = 1e-4  # of the ink share

Characters = dict[tuple[str, int], np.ndarray]  # (alphabet, number) -> uint8 [20, 28, 28, 1]


def read_characters(path: Path, facts: Facts) -> Characters:
    """All characters of one archive, the drawings in the order of their file names.

    Raises:
      UserError: damaged archive, or drawings other than Omniglot's.
    """
    drawings: dict[tuple[str, int], list[np.ndarray]] = {}
    ink = []
    for name, data in read_zip(path, ".png"):
        image, share = _shrink(path, name, data)
        drawings.setdefault(_character(path, name), []).append(image)
        ink.append(share)
    if len(drawings) != facts.characters or {len(images) for images in drawings.values()} != {
        facts.drawers
    }:
        expected = f"{facts.characters} characters drawn {facts.drawers} times each"
        raise damaged(path, f"{len(ink)} drawings of {len(drawings)} characters, not {expected}")
    if facts.ink is not None and abs(np.mean(ink) - facts.ink) > TOLERANCE:
        raise damaged(path, f"{np.mean(ink):.4f} of the drawings is ink, not {facts.ink:.4f}")
    return {character: np.stack(images) for character, images in drawings.items()}


def _character(path: Path, name: str) -> tuple[str, int]:
    """('Greek', 3) of 'images_background/Greek/character03/0394_01.png'."""
    parts = name.split("/")
    if len(parts) != 4 or not parts[2].startswith("character") or not parts[2][9:].isdecimal():
        raise damaged(path, f"unexpected member {name!r}")
    return parts[1], int(parts[2][9:])


def _shrink(path: Path, name: str, data: bytes) -> tuple[np.ndarray, float]:
    """uint8 [28, 28, 1] with ink high, and the share of ink of the original."""
    try:
        image = Image.open(io.BytesIO(data))
        grey = image.convert("L")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise damaged(path, f"{name} does not decode: {error}") from error
    if grey.size != (105, 105):
        raise damaged(path, f"{name} measures {grey.size[0]}x{grey.size[1]}, not 105x105")
    small = 255 - np.asarray(grey.resize((SIZE, SIZE), Image.Resampling.LANCZOS))
    return small[:, :, None], 1 - float(np.asarray(grey).mean()) / 255


def read(folder: Path, facts: tuple[Facts, ...] = FACTS) -> dict[str, Split]:
    """`Reader.read`: classes sorted by alphabet and character number, named 'Greek/character03'.

    Raises:
      UserError: a damaged archive, or a character that is missing.
    """
    characters: Characters = {}
    for file, fact in zip(FILES, facts, strict=True):
        characters |= read_characters(folder / file.name, fact)
    return {
        split: _select(folder, characters, lists) for split, lists in load_split("omniglot").items()
    }


def _select(folder: Path, characters: Characters, lists: dict[str, list[int]]) -> Split:
    chosen = sorted((alphabet, number) for alphabet, numbers in lists.items() for number in numbers)
    if missing := [character for character in chosen if character not in characters]:
        raise damaged(
            folder / FILES[0].name, "neither archive holds {}/character{:02d}".format(*missing[0])
        )
    images = np.concatenate([characters[character] for character in chosen])
    counts = np.array([len(characters[character]) for character in chosen], np.int32)
    return Split(
        images, counts, tuple(f"{alphabet}/character{number:02d}" for alphabet, number in chosen)
    )


omniglot = Reader(read, FILES, 1, 4, partial(fingerprint, files=FILES))
