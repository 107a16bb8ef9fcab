"""Features of a whole split, computed once and kept on disk: stages that are not trained."""

import errno
import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from tqdm import tqdm

from metalearn.data.source import Dataset
from metalearn.errors import UserError
from metalearn.evaluation.blocks import Blocks
from metalearn.files import write_text
from metalearn.parallel import first
from metalearn.types import Array, InputSpec, PyTree

FULL = "float32"
VERSION = 1  # raised whenever features become others
SAVE_BLOCKS = 8  # between saves of how far it is


def features_path(
    root: Path,
    dataset: Dataset,
    split: str,
    weights: str,
    inputs: InputSpec,
    stage: str,
    precision: str = FULL,
) -> Path:
    """Where the features of a split are kept.

    Args:
      root: folder of caches.
      dataset: whose split it is.
      split: its name.
      weights: digest of the body.
      inputs: the images that the body takes.
      stage: which features, such as the name of the stage that takes them.
      precision: that they are computed in.
    """
    what = [VERSION, dataset.digest, split, weights, list(inputs.shape), inputs.mean, inputs.std]
    what += [inputs.resize, stage]
    # Features of stages were once in float32 whatever the precision
    what += [precision, 1] if precision != FULL else []
    digest = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
    return root / "features" / f"{digest}.npy"


def cached_features(
    path: Path,
    function: Callable[[PyTree, Array], Array],
    params: PyTree,
    images: np.ndarray,
    mesh: Mesh,
) -> np.ndarray:
    """The function of all images, memory-mapped; computed first if it is absent.

    A computation that is stopped continues where it was. Of processes that start at once, one
    computes and the others wait for it.

    Args:
      path: where they are kept.
      function: `(params, uint8 images [B,H,W,Ch]) -> float32 [B,...]`.
      params: of the function.
      images: uint8 [M,H,W,Ch].
      mesh: of the devices that share them out.

    Raises:
      UserError: the folder cannot be written.
    """
    if not path.exists():
        if jax.process_count() > 1:
            raise UserError("features are computed by one process: leave out --distributed")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path.with_suffix(".lock"), "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not path.exists():
                    _compute(path, Blocks(function, mesh), params, images)
        except OSError as error:
            raise UserError(
                f"cannot write {path}: {error.strerror or error}; free some space, or choose "
                "another --cache_dir"
            ) from error
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _compute(path: Path, blocks: Blocks, params: PyTree, images: np.ndarray) -> None:
    """Write the features; the file has its name once it is whole."""
    part = path.with_suffix(".part")
    done = path.with_suffix(".done")  # how many rows of the part are written
    known = _rows(done) if part.exists() else 0
    found: Any = np.load(part, mmap_mode="r+") if known else None
    quiet = sys.stderr is None or not first()
    shown = dict(unit="image", desc="features", mininterval=1)
    bar = tqdm(total=len(images), initial=known, disable=quiet, **shown)
    with bar:
        rows = np.arange(known, len(images))
        for number, (places, z) in enumerate(blocks.each(params, images, rows), 1):
            if found is None:
                shape = (len(images), *z.shape[1:])
                found = np.lib.format.open_memmap(part, "w+", np.float32, shape)
                _allocate(part)
            found[known + places.start : known + places.stop] = z
            bar.update(places.stop - places.start)
            if number % SAVE_BLOCKS == 0:
                found.flush()
                write_text(done, str(known + places.stop))
        found.flush()
    os.replace(part, path)
    done.unlink(missing_ok=True)


def _allocate(part: Path) -> None:
    """Give the whole file its place: where a disk fills up later, a write into memory kills.

    Raises:
      OSError: there is no room; the file is removed.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        with part.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):  # a file system that cannot
            return
        part.unlink(missing_ok=True)
        raise


def _rows(done: Path) -> int:
    """How many rows are written, by the file that says so; 0 where it does not."""
    try:
        return int(done.read_text())
    except (FileNotFoundError, ValueError):
        return 0
