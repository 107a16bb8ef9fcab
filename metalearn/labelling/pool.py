"""The photographs of a folder as a strategy sees them: features, and which show the same."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from metalearn.data.alike import groups_of
from metalearn.data.snapshots import Refused, Snapshot, read_snapshots
from metalearn.personal.embedding import Embedder
from metalearn.transfer.centroid import unit

AT_ONCE = 256  # photographs in memory
SMALL = 72  # pixels a side of the copies that are compared: cells of 8 and of 9 fit into it


class Looked(NamedTuple):
    """N different photographs of a folder.

    Attributes:
      names: of their files; of the first one where files are equal.
      digests: SHA-256 of their files.
      z: float32 [N,D], features less the mean of others.
      alike: int [N], the same number for photographs that hardly differ.
      equal: files left out as another one has the same bytes.
      refused: files that cannot be read.
    """

    names: tuple[str, ...]
    digests: tuple[str, ...]
    z: np.ndarray
    alike: np.ndarray
    equal: int
    refused: tuple[Refused, ...]

    @property
    def place(self) -> dict[str, int]:
        """Position of each photograph by its digest."""
        return {digest: row for row, digest in enumerate(self.digests)}

    @property
    def directions(self) -> np.ndarray:
        """Features [N,D] less their mean, of length one."""
        return unit(self.z - self.z.mean(0))


def look(paths: Sequence[Path], root: Path, embedder: Embedder) -> Looked:
    """Read photographs, some at a time, and make their features; those that are kept are not.

    Args:
      paths: of their files.
      root: folder below which they are named.
      embedder: that makes the features.
    """
    size = embedder.embedding.shown.views.pixels
    names: dict[str, str] = {}
    features = [np.zeros((0, len(embedder.embedding.shown.mean)), np.float32)]
    small = [np.zeros((0, SMALL, SMALL, 3), np.uint8)]
    refused: list[Refused] = []
    read = 0
    for start in range(0, len(paths), AT_ONCE):
        (found, unreadable) = read_snapshots(paths[start : start + AT_ONCE], size, root)
        refused += unreadable
        read += len(found)
        new = {shot.digest: shot for shot in found if shot.digest not in names}
        first = {shot.digest: shot for shot in reversed(found) if shot.digest in new}
        shots = [first[digest] for digest in new]
        names |= {shot.digest: shot.name for shot in shots}
        if shots:
            features.append(embedder(np.stack([shot.pixels for shot in shots]), fitted=True))
            small.append(np.stack([small_copy(shot) for shot in shots]))
    return Looked(
        names=tuple(names.values()),
        digests=tuple(names),
        z=np.concatenate(features),
        alike=groups_of(np.concatenate(small), near=True),
        equal=read - len(names),
        refused=tuple(refused),
    )


def small_copy(shot: Snapshot) -> np.ndarray:
    """A photograph small, uint8 [72,72,3]: to see which hardly differ."""
    image = Image.fromarray(shot.pixels)
    return np.asarray(image.resize((SMALL, SMALL), Image.Resampling.BOX))
