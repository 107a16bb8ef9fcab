"""Groups of images that show the same: equal in every pixel, or nearly.

Nearly the same are images that a difference hash (64 bits: whether brightness rises from one cell
to the next, in 8 rows of 9 cells; Krawetz 2013, "Kind of like that") and the mean colours of 8 x 8
cells both hardly tell apart. The hash alone would take all plain images for the same. The
thresholds are for photographs: simple drawings, such as digits, look alike to them too.
"""

from collections.abc import Iterator
from hashlib import sha256

import numpy as np
from PIL import Image

CELLS = 8  # a side
RISE = 2  # of 255; less is noise where an image is plain
BITS = 10  # of 64, in which near-duplicates differ at most
COLOURS = 0.2  # by which cells differ at most, on average, as a share of how an image's own do
LEAST = 1.0  # of 255, by which cells may always differ: copies saved again do
BLOCK = 1024  # images compared with all others at once


def groups_of(images: np.ndarray, near: bool) -> np.ndarray:
    """int [M]: the group of each image of uint8 [M, H, W, Ch].

    Images are in one group if they are equal, or with `near` if they are nearly so, or linked by
    others that are. With `near`, groups are numbered as in `by_first`.
    """
    _, groups = np.unique(
        [sha256(np.ascontiguousarray(image).tobytes()).digest() for image in images],
        return_inverse=True,
    )
    if not near or not len(images):
        return groups
    _, firsts = np.unique(groups, return_index=True)
    links = np.concatenate([np.zeros((0, 2), np.int64), *_near(images[firsts])])
    if not len(links):
        return by_first(groups)
    from scipy.sparse import coo_array  # they take long to import
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(links)), tuple(links.T)), shape=(len(firsts), len(firsts)))
    return by_first(connected_components(graph, directed=False)[1][groups])


def resized_groups(images: np.ndarray) -> np.ndarray:
    """int [M]: the group of each image of a data set whose images have the size that is asked for.

    Near-duplicates are together where images have colours; grey ones are often digits or letters,
    which all look alike. Numbered as in `by_first`.
    """
    return by_first(groups_of(images, near=images.shape[-1] == 3))


def by_first(groups: np.ndarray) -> np.ndarray:
    """The groups int [M] numbered in the order of their first images.

    So what a seed draws of them depends on the order of the files, and neither on the size that
    images were given nor on what decoded them.
    """
    _, firsts, numbers = np.unique(groups, return_index=True, return_inverse=True)
    ranks = np.argsort(np.argsort(firsts))
    return ranks[numbers]


def _near(images: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs int [P, 2] of the positions of near-duplicates."""
    hashes = np.array([difference_hash(image) for image in images], np.uint64)
    colours = np.array([_cells(image) for image in images], np.float32)
    contrast = np.abs(colours - colours.mean(axis=(1, 2), keepdims=True)).mean(axis=(1, 2, 3))
    allowed = np.maximum(LEAST, COLOURS * contrast)
    for start in range(0, len(images), BLOCK):
        differing = np.bitwise_count(hashes[start : start + BLOCK, None] ^ hashes[None, start:])
        pairs = np.argwhere(differing <= BITS) + start
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
        for some in np.array_split(pairs, len(pairs) // (64 * BLOCK) + 1):
            apart = np.abs(colours[some[:, 0]] - colours[some[:, 1]]).mean(axis=(1, 2, 3))
            yield some[apart <= allowed[some].min(axis=1)]


def difference_hash(image: np.ndarray) -> int:
    """64 bits of an image uint8 [H, W, Ch]: where its brightness rises from left to right."""
    grey = _picture(image).convert("L").resize((CELLS + 1, CELLS), Image.Resampling.BOX)
    rises = np.diff(np.asarray(grey, np.int16), axis=1) > RISE
    return int.from_bytes(np.packbits(rises).tobytes(), "big")


def _cells(image: np.ndarray) -> np.ndarray:
    """uint8 [8, 8, 3], mean colours."""
    small = _picture(image).convert("RGB").resize((CELLS, CELLS), Image.Resampling.BOX)
    return np.asarray(small)


def _picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else np.ascontiguousarray(image))
