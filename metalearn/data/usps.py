"""USPS: 9,298 grey images of 16 x 16 pixels, handwritten digits of postal codes.

Hull (1994), A database for handwritten text recognition research; 7,291 training and 2,007 test
images. Read from `usps.bz2` and `usps.t.bz2`, as LIBSVM's site has them (lines of a label from 1 to
10 and of `index:value` pairs, values from -1 to 1, a missing one is 0), or from `usps.npz` (arrays
`train_images`, `train_labels`, `test_images`, `test_labels`) where that is in the data folder. A
tenth of the training images of each class, drawn by a fixed seed, is the validation split.
"""

import bz2
import zipfile
import zlib
from pathlib import Path

import numpy as np

from metalearn.data.archive import damaged
from metalearn.data.download import check_digests, fetch, fingerprint
from metalearn.data.idx import DIGITS
from metalearn.data.labelled import Facts, by_class, published
from metalearn.data.source import Prepared, Reader, RemoteFile, Split

ARRAYS = "usps.npz"
_URL = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/"
FILES = (
    RemoteFile("usps.bz2", f"{_URL}usps.bz2", "md5:ec16c51db3855ca6c91edd34d0e9b197"),
    RemoteFile("usps.t.bz2", f"{_URL}usps.t.bz2", "md5:8ea070ee2aca1ac39742fdd1ef5ed118"),
)
SIZE = 16
FACTS = Facts(
    (1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644),
    (359, 264, 198, 166, 200, 160, 170, 147, 166, 177),
    None,  # they depend on how values become bytes
)


def read(folder: Path, facts: Facts = FACTS) -> Prepared:
    """`Reader.read` of `usps.npz`, or else of LIBSVM's two files.

    Raises:
      UserError: a damaged file, or one with other images than the published ones.
    """
    path = folder / ARRAYS
    if path.is_file():
        train, test = (_arrays(path, part) for part in ("train", "test"))
    else:
        path = folder / FILES[0].name
        train, test = (read_libsvm(folder / file.name) for file in FILES)
        check_digests(FILES, folder)
    return published(path, train, test, facts)


def read_libsvm(path: Path) -> Split:
    """The images of a compressed file in LIBSVM's format, uint8 [M, 16, 16, 1], by class.

    Values from -1 to 1 become 0 to 255, rounded.

    Raises:
      UserError: a damaged file, or values out of range.
    """
    try:
        lines = bz2.decompress(path.read_bytes()).decode("ascii").splitlines()
        values = np.zeros((len(lines), SIZE * SIZE))
        labels = np.empty(len(lines), np.int64)
        for row, line in enumerate(lines):
            label, *pairs = line.split()
            labels[row] = int(float(label)) - 1
            for index, value in (pair.split(":") for pair in pairs):
                values[row, _position(index)] = float(value)
    except (OSError, EOFError, ValueError, ArithmeticError) as error:
        raise damaged(path, error) from error
    if not (np.abs(values) <= 1).all():
        raise damaged(path, "a value is not within -1 and 1")
    pixels = np.rint((values + 1) * 127.5).astype(np.uint8)
    return _checked(path, pixels.reshape(-1, SIZE, SIZE, 1), labels)


def _position(index: str) -> int:
    position = int(index) - 1
    if not 0 <= position < SIZE * SIZE:
        raise ValueError(f"index {index}, they go from 1 to {SIZE * SIZE}")
    return position


def _arrays(path: Path, part: str) -> Split:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            images = arrays[f"{part}_images"]
            labels = arrays[f"{part}_labels"]
    except (OSError, EOFError, ValueError, KeyError, zlib.error, zipfile.BadZipFile) as error:
        raise damaged(path, error) from error
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise damaged(path, f"{part}_labels are {labels.dtype} {list(labels.shape)}")
    if images.dtype != np.uint8 or images.shape != (len(labels), SIZE, SIZE, 1):
        raise damaged(path, f"{part}_images are {images.dtype} {list(images.shape)}")
    return _checked(path, images, labels.astype(np.int64))


def _checked(path: Path, images: np.ndarray, labels: np.ndarray) -> Split:
    if len(labels) and not (0 <= labels.min() and labels.max() < len(DIGITS)):
        raise damaged(path, "a label is not one of ten")
    return by_class(images, labels, DIGITS)


def identity(folder: Path) -> str:
    """`Reader.fingerprint`; downloads LIBSVM's files where neither they nor `usps.npz` is there.

    Raises:
      UserError: as `fetch` and `fingerprint`.
    """
    if (folder / ARRAYS).is_file():
        return fingerprint(folder, (RemoteFile(ARRAYS, "", ""),))
    fetch(FILES, folder)
    return fingerprint(folder, FILES)


usps = Reader(read, (), 1, 1, identity)
