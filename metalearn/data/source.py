"""What a dataset is: three splits, held on the host as memory-mapped arrays."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Images of one split, sorted by class.

    Attributes:
      images: uint8 [M, H, W, Ch].
      counts: int32 [C], images per class; classes may differ in size. Where classes are shared
        by the splits, one may have none in the validation split.
      names: C class names, in the order of the images.
    """

    images: np.ndarray
    counts: np.ndarray
    names: tuple[str, ...]


class Prepared(dict[str, Split]):
    """The splits `train`, `valid` and `test` of a dataset as its reader made them.

    Attributes:
      notes: lines that are printed whenever the dataset is loaded, which begin with 'note: ' or
        'warning: '.
      decoder: the library, with its version, that decided the pixels; '' where the files alone do.
      by_seed: whether a seed shared out the classes, or of shared classes the images.
      shared: whether the classes of the three splits are the same ones, in the same order.
    """

    def __init__(
        self,
        splits: Mapping[str, Split],
        notes: Iterable[str] = (),
        decoder: str = "",
        by_seed: bool = False,
        shared: bool = False,
    ):
        super().__init__(splits)
        self.notes = tuple(notes)
        self.decoder = decoder
        self.by_seed = by_seed
        self.shared = shared


class Dataset(NamedTuple):
    """Classes of `train`, `valid` and `test`: disjoint for few-shot learning, or the same ones.

    Attributes:
      name: as the user gave it.
      train, valid, test: the splits.
      mean, std: float32 [Ch], statistics of the training split's pixels scaled to [0, 1].
      rotations: 4 where each class, turned by 90, 180 and 270 degrees, also makes classes of its
        own, else 1.
      digest: of all images, their classes and the splits, as they are prepared.
      contents: of all images and their classes, whatever split they are in; '' in an old cache.
      notes, decoder, by_seed, shared: see `Prepared`; of a cache from before these were kept, none.
    """

    name: str
    train: Split
    valid: Split
    test: Split
    mean: np.ndarray
    std: np.ndarray
    rotations: int = 1
    digest: str = ""
    contents: str = ""
    notes: tuple[str, ...] = ()
    decoder: str = ""
    by_seed: bool = False
    shared: bool = False

    @property
    def more_by_seed(self) -> bool:
        """Whether more classes make every split larger, as a seed shares the classes out."""
        return self.by_seed and not self.shared

    @property
    def images(self) -> str:
        """The digest that records hold; the same for every seed that splits them."""
        return self.contents if self.by_seed and self.contents else self.digest


class RemoteFile(NamedTuple):
    """A file of a dataset: `name` in the data folder, its official address and digest."""

    name: str
    url: str
    digest: str  # 'md5:...' or 'sha256:...'


class Reader(NamedTuple):
    """How a dataset becomes arrays; one per dataset file.

    Attributes:
      read: `(folder) -> {'train': Split, 'valid': Split, 'test': Split}`, or a `Prepared`, which
        says more; raises `UserError` on wrong contents.
      files: what `read` needs in the folder; empty where the user's own folder is read.
      version: raised whenever `read` would give other arrays than before; part of the cache's name.
      rotations: see `Dataset`.
      fingerprint: `(folder) -> str` of the inputs' identity (names, sizes, times); part of the
        cache's name.
      lasting: whether a cache with another fingerprint serves as well, such as one drawn by another
        version of a library; runs on it can be continued.
    """

    read: Callable[[Path], dict[str, Split]]
    files: tuple[RemoteFile, ...]
    version: int
    rotations: int
    fingerprint: Callable[[Path], str]
    lasting: bool = False
