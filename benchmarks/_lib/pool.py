"""A drawn pool of `benchmarks.active`, in files that every contender reads; NumPy only.

BENCHMARK_POOL names the folder: `z.npy` [N,D], `p.npy` [N,C], `y.npy` [N], `labelled.npy` [L].
"""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks._lib.work import Work

LATENT = 64  # directions in which features differ; those of a network are as few
APART = 1.0  # length of what images of a class differ by, beside that of their mean
NOISE = 0.1  # of every feature on its own
SURE = 0.1  # of the Dirichlet distribution that probabilities are drawn from
ROWS = 25_000  # drawn at once
LINE = 64  # bytes; JAX takes over memory that begins at a multiple of it


class Drawn(NamedTuple):
    """A pool as it was drawn.

    Attributes:
      z: float32 [N,D], features of length one.
      p: float32 [N,C], probabilities.
      y: int32 [N], true classes, which no strategy sees but of labelled images.
      labelled: int32 [L], positions.
    """

    z: np.ndarray
    p: np.ndarray
    y: np.ndarray
    labelled: np.ndarray


def size_of(work: Work) -> int:
    """N, images of the pool."""
    return work.classes * work.per_class


def picks_of(work: Work) -> int:
    """k, images chosen in a round."""
    return work.classes * work.queries


def draw(folder: Path, work: Work) -> None:
    """Write a pool: features of a mixture of as many Gaussians as there are classes.

    They are drawn in a few directions, turned into the space of features, less their mean, and of
    length one. Probabilities are drawn on their own.
    """
    rng = np.random.default_rng(0)
    number = size_of(work)
    folder.mkdir()
    z = _new(folder / "z.npy", (number, work.width))
    p = _new(folder / "p.npy", (number, work.classes))
    centres = rng.normal(size=(work.classes, LATENT))
    directions = rng.normal(size=(LATENT, work.width)) / work.width**0.5
    y = rng.integers(0, work.classes, number).astype(np.int32)
    mean = centres.mean(0) @ directions
    for start in range(0, number, ROWS):
        of = y[start : start + ROWS]
        own = centres[of] + APART * rng.standard_normal((len(of), LATENT), np.float32)
        rows = own.astype(np.float32) @ directions.astype(np.float32) - mean.astype(np.float32)
        rows += NOISE * rng.standard_normal(rows.shape, np.float32)
        z[start : start + ROWS] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        shares = rng.standard_gamma(SURE, (len(of), work.classes), np.float32) + 1e-9
        p[start : start + ROWS] = shares / shares.sum(1, keepdims=True)
    np.save(folder / "y.npy", y)
    labelled = rng.permutation(number)[: work.classes * work.shots]
    np.save(folder / "labelled.npy", labelled.astype(np.int32))


def _new(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)


def folder_of_pool() -> Path:
    """Where the pool is."""
    return Path(os.environ["BENCHMARK_POOL"])


def read() -> Drawn:
    """The pool, in memory that JAX takes over without a copy."""
    return Drawn(*(_aligned(folder_of_pool() / f"{name}.npy") for name in Drawn._fields))


def _aligned(path: Path) -> np.ndarray:
    """An array whose memory begins at a multiple of 64 bytes."""
    there = np.load(path, mmap_mode="r")
    memory = np.empty(there.nbytes + LINE, np.uint8)
    begin = -memory.ctypes.data % LINE
    found = memory[begin : begin + there.nbytes].view(there.dtype).reshape(there.shape)
    with path.open("rb") as file:
        file.seek(there.offset)
        file.readinto(found.reshape(-1).view(np.uint8))
    return found
