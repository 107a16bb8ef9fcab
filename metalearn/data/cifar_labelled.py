"""CIFAR-10 and CIFAR-100 as they are published: the same classes in training and test.

Krizhevsky (2009), Learning multiple layers of features from tiny images: 60,000 RGB images of 32 x
32 pixels, 10,000 of them for test, of 10 or of 100 classes. A tenth of the training images of each
class, drawn by a fixed seed, is the validation split.
"""

from functools import partial
from pathlib import Path

import numpy as np

from metalearn.data import cifar
from metalearn.data.archive import damaged, read_tar_gz
from metalearn.data.download import fingerprint
from metalearn.data.labelled import Facts, by_class, published
from metalearn.data.source import Prepared, Reader, RemoteFile, Split

ARCHIVE = RemoteFile(
    "cifar-10-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "md5:c32a1d4ab5d03f1284b67883e8d87530",
)
FOLDER = "cifar-10-batches-bin"
TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = "test_batch.bin"
RECORD = 1 + 3 * 32 * 32  # label, planar pixels
# Of the archive's `batches.meta.txt`, which has the same list at https://www.cs.toronto.edu/~kriz/
NAMES = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())
FACTS = Facts(
    (5000,) * 10,
    (1000,) * 10,
    ((0.4913997, 0.4821584, 0.4465309), (0.2470323, 0.2434851, 0.2615878)),
)


def read_cifar10(folder: Path, facts: Facts = FACTS) -> Prepared:
    """`Reader.read` of CIFAR-10's official binary archive.

    Raises:
      UserError: a damaged archive, or labels, counts or pixel statistics other than CIFAR-10's.
    """
    path = folder / ARCHIVE.name
    names = (*TRAIN, TEST, "batches.meta.txt")
    members = read_tar_gz(path, {f"{FOLDER}/{name}" for name in names})
    found = members[f"{FOLDER}/batches.meta.txt"].decode("ascii", "replace").split()
    if tuple(found) != NAMES:
        raise damaged(path, f"its classes are {', '.join(found)[:80]}, not {', '.join(NAMES)}")
    train = b"".join(members[f"{FOLDER}/{name}"] for name in TRAIN)
    test = members[f"{FOLDER}/{TEST}"]
    return published(path, _split(path, train), _split(path, test), facts)


def _split(path: Path, data: bytes) -> Split:
    if len(data) % RECORD:
        raise damaged(path, f"{len(data):,} bytes are no whole number of images")
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    labels = records[:, 0]
    if len(labels) and labels.max() >= len(NAMES):
        raise damaged(path, f"a label is {labels.max()}, the largest is {len(NAMES) - 1}")
    return by_class(cifar.channels_last(records[:, 1:]), labels, NAMES)


def read_cifar100(folder: Path, facts: cifar.Facts = cifar.FACTS) -> Prepared:
    """`Reader.read` of CIFAR-100's official binary archive: its 100 fine classes.

    Raises:
      UserError: as `metalearn.data.cifar.read_parts`.
    """
    path = folder / cifar.ARCHIVE.name
    parts = cifar.read_parts(path, facts)
    train, test = (
        by_class(cifar.channels_last(records[:, 2:]), records[:, 1], parts.fine)
        for records in (parts.train, parts.test)
    )
    verified = Facts((facts.train,) * 100, (facts.test,) * 100, facts.moments)
    return published(path, train, test, verified)


cifar10 = Reader(read_cifar10, (ARCHIVE,), 1, 1, partial(fingerprint, files=(ARCHIVE,)))
cifar100 = Reader(
    read_cifar100, (cifar.ARCHIVE,), 1, 1, partial(fingerprint, files=(cifar.ARCHIVE,))
)
