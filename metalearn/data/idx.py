"""MNIST and Fashion-MNIST: 70,000 grey images of 28 x 28 pixels, of ten classes, in IDX files.

MNIST: LeCun, Bottou, Bengio & Haffner (1998), Gradient-based learning applied to document
recognition; 60,000 training and 10,000 test images of handwritten digits. Fashion-MNIST: Xiao,
Rasul & Vollgraf (2017, https://arxiv.org/abs/1708.07747), articles of clothing, as many; class
names from its README (https://github.com/zalandoresearch/fashion-mnist).

The four files of each lie in the folders `mnist` and `fashion_mnist` of the data folder. A tenth of
the training images of each class, drawn by a fixed seed, is the validation split.
"""

import gzip
import zlib
from functools import partial
from pathlib import Path

import numpy as np

from metalearn.data.archive import damaged
from metalearn.data.download import fingerprint
from metalearn.data.labelled import Facts, by_class, published
from metalearn.data.source import Prepared, Reader, RemoteFile, Split

DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
IMAGES = 0x0803  # magic number: unsigned bytes, three dimensions
LABELS = 0x0801
SIZE = 28
PARTS = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
MNIST = Facts(
    (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
    ((0.130660,), (0.308108,)),
)
FASHION = Facts((6000,) * 10, (1000,) * 10, ((0.286041,), (0.353024,)))


def read_idx(path: Path, magic: int) -> np.ndarray:
    """The array uint8 of a compressed IDX file: images [M, 28, 28] or labels [M].

    The file is four bytes that tell type and dimensions, four for each size, and the values.

    Raises:
      UserError: a damaged file, one of another kind, or images of another size.
    """
    try:
        with gzip.open(path) as stream:
            data = stream.read()
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(path, error) from error
    found = int.from_bytes(data[:4], "big")
    if found != magic:
        raise damaged(path, f"magic number {found:#010x}, not {magic:#010x}")
    start = 4 + 4 * (magic & 0xFF)
    shape = tuple(int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4))
    if shape[1:] not in ((), (SIZE, SIZE)):
        raise damaged(path, f"images of {shape[1]} x {shape[2]} pixels, not {SIZE} x {SIZE}")
    size = start + int(np.prod(shape))
    if len(data) != size:
        raise damaged(path, f"{len(data):,} bytes, not {size:,}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def read_part(images: Path, labels: Path, names: tuple[str, ...]) -> Split:
    """The images of two IDX files, uint8 [M, 28, 28, 1], by class.

    Raises:
      UserError: a damaged file, or labels that do not fit the images.
    """
    pixels = read_idx(images, IMAGES)
    classes = read_idx(labels, LABELS)
    if len(classes) != len(pixels):
        raise damaged(labels, f"{len(classes):,} labels for {len(pixels):,} images")
    if len(classes) and classes.max() >= len(names):
        raise damaged(labels, f"a label is {classes.max()}, the largest is {len(names) - 1}")
    return by_class(pixels[..., None], classes, names)


def read(folder: Path, name: str, names: tuple[str, ...], facts: Facts) -> Prepared:
    """`Reader.read` of the four files in a folder of the data folder.

    Args:
      folder: the data folder.
      name: the folder in it.
      names: of the classes.
      facts: that must hold.

    Raises:
      UserError: a file is damaged, or not the published one.
    """
    paths = [folder / name / part for part in PARTS]
    train = read_part(paths[0], paths[1], names)
    test = read_part(paths[2], paths[3], names)
    return published(paths[0], train, test, facts)


def _reader(
    name: str, names: tuple[str, ...], facts: Facts, url: str, digests: tuple[str, ...]
) -> Reader:
    files = tuple(
        RemoteFile(f"{name}/{part}", url + part, f"md5:{digest}")
        for part, digest in zip(PARTS, digests, strict=True)
    )
    read_it = partial(read, name=name, names=names, facts=facts)
    return Reader(read_it, files, 1, 1, partial(fingerprint, files=files))


mnist = _reader(
    "mnist",
    DIGITS,
    MNIST,
    "https://ossci-datasets.s3.amazonaws.com/mnist/",  # its home, yann.lecun.com, gives none
    (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
)
fashion_mnist = _reader(
    "fashion_mnist",
    CLOTHES,
    FASHION,
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    (
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
)
