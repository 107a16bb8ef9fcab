"""CIFAR-FS and FC100: the 100 classes of CIFAR-100, split for few-shot learning.

CIFAR-FS (Bertinetto et al., 2019, https://arxiv.org/abs/1805.08136) splits the classes 64/16/20 at
random; FC100 (Oreshkin et al., 2018, https://arxiv.org/abs/1805.10123) splits by superclass, 12/4/4
= 60/20/20 classes, which makes the test classes less like the training classes. Images: Krizhevsky
(2009), Learning multiple layers of features from tiny images; 600 of each class, 32x32 RGB, those
of training and of test taken together.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metalearn.data.archive import damaged, read_tar_gz
from metalearn.data.download import fingerprint
from metalearn.data.source import Reader, RemoteFile, Split
from metalearn.data.splits import load_split

ARCHIVE = RemoteFile(
    "cifar-100-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    "md5:03b5dce01913d631647c71ecec9e9cb8",
)
FOLDER = "cifar-100-binary"
RECORD = 2 + 3 * 32 * 32  # coarse label, fine label, planar pixels
MEAN = (0.50707516, 0.48654887, 0.44091784)  # of the training pixels / 255
STD = (0.26733429, 0.25643846, 0.27615047)
TOLERANCE = 1e-4


class Facts(NamedTuple):
    """What must hold of the archive, by which it is verified.

    Attributes:
      train: training images per class.
      test: test images per class.
      moments: mean and standard deviation of the training pixels / 255; None for any.
    """

    train: int = 500
    test: int = 100
    moments: tuple[tuple[float, ...], tuple[float, ...]] | None = (MEAN, STD)


FACTS = Facts()


class Cifar100(NamedTuple):
    """CIFAR-100 in memory.

    Attributes:
      images: uint8 [100, P, 32, 32, 3], P images per class ordered by their bytes, so that the
        order of an archive's records does not matter.
      fine: 100 class names.
      coarse: the superclass name of each class.
    """

    images: np.ndarray
    fine: tuple[str, ...]
    coarse: tuple[str, ...]


class Parts(NamedTuple):
    """The two parts of the archive: records uint8 [M, RECORD] in its order, and label names."""

    train: np.ndarray
    test: np.ndarray
    fine: tuple[str, ...]
    coarse: tuple[str, ...]


def read_parts(path: Path, facts: Facts = FACTS) -> Parts:
    """The contents of the official binary archive, verified.

    Raises:
      UserError: damaged archive, or labels, counts or pixel statistics other than CIFAR-100's.
    """
    wanted = ("train.bin", "test.bin", "fine_label_names.txt", "coarse_label_names.txt")
    members = read_tar_gz(path, {f"{FOLDER}/{name}" for name in wanted})
    train, test, fine_text, coarse_text = (members[f"{FOLDER}/{name}"] for name in wanted)
    fine = _names(path, fine_text, 100)
    coarse = _names(path, coarse_text, 20)
    train_records = _records(path, "train.bin", train, facts.train)
    test_records = _records(path, "test.bin", test, facts.test)
    _check_moments(path, train_records[:, 2:], facts)
    return Parts(train_records, test_records, fine, coarse)


def read_cifar100(path: Path, facts: Facts = FACTS) -> Cifar100:
    """The official archive's training and test images, taken together.

    Raises:
      UserError: as `read_parts`, or a class belongs to two superclasses.
    """
    train, test, fine, coarse = read_parts(path, facts)
    records = np.concatenate([train, test])
    parents = _parents(path, records)
    per_class = facts.train + facts.test
    # Sorted by their bytes, so that positions in a split do not depend on the archive's order
    keys = [record.tobytes() for record in records[:, 1:]]  # fine label, then pixels
    order = sorted(range(len(keys)), key=keys.__getitem__)
    images = np.empty((100, per_class, 32, 32, 3), np.uint8)
    for label in range(100):
        rows = records[order[label * per_class : (label + 1) * per_class], 2:]
        images[label] = channels_last(rows)
    return Cifar100(images, fine, tuple(coarse[parent] for parent in parents))


def channels_last(pixels: np.ndarray) -> np.ndarray:
    """Planar pixels uint8 [M, 3072] as images [M, 32, 32, 3]."""
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def _names(path: Path, text: bytes, count: int) -> tuple[str, ...]:
    names = tuple(text.decode("ascii", "replace").split())
    if len(names) != count or len(set(names)) != count:
        raise damaged(path, f"{len(set(names))} label names where {count} belong")
    return names


def _records(path: Path, name: str, data: bytes, per_class: int) -> np.ndarray:
    """uint8 [100 * per_class, RECORD], each fine label as often as it should be."""
    if len(data) != 100 * per_class * RECORD:
        raise damaged(path, f"{name} has {len(data):,} bytes, not {100 * per_class * RECORD:,}")
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
    if records[:, 0].max() >= 20 or records[:, 1].max() >= 100:
        raise damaged(path, f"a label of {name} is out of range")
    if (np.bincount(records[:, 1], minlength=100) != per_class).any():
        raise damaged(path, f"{name} does not hold {per_class} images of each class")
    return records


def _parents(path: Path, records: np.ndarray) -> np.ndarray:
    """int [100], the superclass of each class; every record must agree on it."""
    parents = np.zeros(100, np.int64)
    parents[records[:, 1]] = records[:, 0]
    if (parents[records[:, 1]] != records[:, 0]).any():
        raise damaged(path, "a class belongs to two superclasses")
    return parents


def _check_moments(path: Path, pixels: np.ndarray, facts: Facts) -> None:
    """Compares the moments of planar `pixels` uint8 [M, 3072] with the known ones."""
    if facts.moments is None:
        return
    for channel in range(3):
        values = np.arange(256) / 255
        share = np.bincount(pixels[:, channel * 1024 : (channel + 1) * 1024].ravel(), minlength=256)
        share = share / share.sum()
        mean = values @ share
        std = np.sqrt(values**2 @ share - mean**2)
        expected = facts.moments[0][channel], facts.moments[1][channel]
        if max(abs(mean - expected[0]), abs(std - expected[1])) > TOLERANCE:
            raise damaged(
                path, f"channel {channel} has mean {mean:.4f}, std {std:.4f}, not {expected}"
            )


def read(folder: Path, split: str, facts: Facts = FACTS) -> dict[str, Split]:
    """`Reader.read` by the class list `split`: fine classes (`cifar_fs`) or superclasses (`fc100`).

    Raises:
      UserError: a damaged archive, or one without a class of the list.
    """
    data = read_cifar100(folder / ARCHIVE.name, facts)
    return {
        part: _select(folder / ARCHIVE.name, data, names)
        for part, names in load_split(split).items()
    }


def _select(path: Path, data: Cifar100, names: list[str]) -> Split:
    """The classes whose own name or whose superclass's name is in `names`, sorted by name."""
    if missing := sorted(set(names) - set(data.fine) - set(data.coarse)):
        raise damaged(path, f"no class called {missing[0]}")
    chosen = sorted(
        (fine, label)
        for label, fine in enumerate(data.fine)
        if {fine, data.coarse[label]} & set(names)
    )
    images = data.images[[label for _, label in chosen]]
    counts = np.full(len(chosen), images.shape[1], np.int32)
    return Split(images.reshape(-1, 32, 32, 3), counts, tuple(fine for fine, _ in chosen))


def _reader(split: str) -> Reader:
    return Reader(
        partial(read, split=split), (ARCHIVE,), 1, 1, partial(fingerprint, files=(ARCHIVE,))
    )


cifar_fs = _reader("cifar_fs")
fc100 = _reader("fc100")
