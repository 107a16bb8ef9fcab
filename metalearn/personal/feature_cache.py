"""Features of photographs kept on disk, so that a second fit need not compute them again.

A file of a few kilobytes for each photograph, named by a digest of its pixels. Where that cannot be
written or read, features are computed: a cache only saves time.
"""

import hashlib
import io
from contextlib import suppress
from pathlib import Path

import numpy as np

from metalearn.errors import UserError
from metalearn.files import write_whole


class FeatureCache:
    """Features of photographs by their pixels.

    Args:
      folder: of the files; another one for each kind of features.
      width: D, numbers of a photograph.
    """

    def __init__(self, folder: Path, width: int):
        self._folder = folder
        self._width = width

    def read(self, image: np.ndarray) -> np.ndarray | None:
        """Features float32 [D] of an image uint8 [H,W,3]; None where they are not kept."""
        with suppress(OSError, ValueError, EOFError):
            z = np.load(self._path(image), allow_pickle=False)
            if z.shape == (self._width,) and z.dtype == np.float32 and np.isfinite(z).all():
                return z
        return None

    def write(self, image: np.ndarray, z: np.ndarray) -> None:
        """Keep the features of an image, if that is possible."""
        written = io.BytesIO()
        np.save(written, z, allow_pickle=False)
        with suppress(UserError):  # a full disk, a folder that is not one's own
            write_whole(self._path(image), lambda file: file.write(written.getvalue()))

    def _path(self, image: np.ndarray) -> Path:
        name = hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()
        return self._folder / f"{name}.npy"
