"""Prepared datasets on disk: a memory-mapped .npy file per split, and one small JSON file.

A cache is a folder, `NAME-vVERSION-FINGERPRINT`. It is written under another name, flushed to disk
and renamed, all under a lock that the system releases when its process ends. So under its own name
it is whole or absent, whenever a run is killed.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metalearn.data.locks import ELSEWHERE, TEMPORARY, lock, remove_stale, writing
from metalearn.data.source import Dataset, Prepared, Split
from metalearn.data.splits import SPLITS
from metalearn.errors import UserError

INFO = "info.json"


def default_root() -> Path:
    """$METALEARN_CACHE, else $XDG_CACHE_HOME/metalearn, else ~/.cache/metalearn.

    Raises:
      UserError: it is below a home folder, and this user has none.
    """
    if own := os.environ.get("METALEARN_CACHE"):
        return expanded(own)
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "metalearn"


def expanded(path: str | Path) -> Path:
    """The path with `~` replaced by the home folder, which is looked up only where it is named.

    Raises:
      UserError: there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        why = "this user has no home folder: give the whole path, or --cache_dir"
        raise UserError(f"{path}: {why}") from error


def cached(root: Path, key: str, prepare: Callable[[], dict[str, Split]]) -> Dataset:
    """The dataset cached as `root/key`, prepared first if it is absent or not whole.

    Of processes that start at once, one prepares and the others wait for it. The dataset's `name`
    and `rotations` are left for the caller to fill in.

    Raises:
      UserError: the cache cannot be written (disk full, read-only, no permission).
    """
    if (dataset := open_cache(root / key)) is not None:
        return dataset
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
    with lock(root, key):
        # Once more: while this process waited for the lock, its holder may have prepared it
        if (dataset := open_cache(root / key)) is None:
            splits = prepare()
            made = splits if isinstance(splits, Prepared) else Prepared(splits)
            with writing(root):
                _write(root, key, made)
            dataset = open_cache(root / key)
    if dataset is None:
        raise UserError(
            f"{root / key} was written but cannot be read back: check the disk, or {ELSEWHERE}."
        )
    return dataset


def open_cache(folder: Path) -> Dataset | None:
    """The cache in `folder`, images memory-mapped; None where it is absent or not whole."""
    try:
        info = json.loads((folder / INFO).read_text("utf-8"))
        splits = {split: _open_split(folder, split, info) for split in SPLITS}
        mean = np.array(info["mean"], np.float32)
        std = np.array(info["std"], np.float32)
        digest = str(info["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Dataset(
        name="",
        train=splits["train"],
        valid=splits["valid"],
        test=splits["test"],
        mean=mean,
        std=std,
        digest=digest,
        contents=str(info.get("contents", "")),
        notes=tuple(info.get("notes", ())),
        decoder=str(info.get("decoder", "")),
        by_seed=bool(info.get("by_seed", False)),
        shared=bool(info.get("shared", False)),
    )


def _open_split(folder: Path, split: str, info: dict[str, Any]) -> Split:
    part = info[split]
    path = folder / f"{split}.npy"
    counts = np.array(part["counts"], np.int32)
    names = tuple(part["names"])
    # Of a file that was not written whole; a digest would have to read all of it
    if path.stat().st_size != part["bytes"]:
        raise ValueError(f"{path} has the wrong size")
    images = np.load(path, mmap_mode="r", allow_pickle=False)
    if (
        images.dtype != np.uint8
        or images.ndim != 4
        or len(images) != counts.sum()
        or len(names) != len(counts)
    ):
        raise ValueError(f"{path} does not agree with {INFO}")
    return Split(images, counts, names)


def _write(root: Path, key: str, splits: Prepared) -> None:
    """Writes `root/key` so that it appears whole or not at all; the caller holds the key's lock."""
    temporary = root / (key + TEMPORARY)
    remove_stale(root)
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        mean, std = pixel_moments(splits["train"].images)
        info: dict[str, Any] = {
            "mean": mean.tolist(),
            "std": std.tolist(),
            "digest": digest_of(splits),
            "contents": contents_of(splits, splits.shared),
            "notes": splits.notes,
            "decoder": splits.decoder,
            "by_seed": splits.by_seed,
            "shared": splits.shared,
        }
        for split in SPLITS:
            images, counts, names = splits[split]
            path = temporary / f"{split}.npy"
            with open(path, "wb") as stream:
                np.save(stream, np.ascontiguousarray(images), allow_pickle=False)
                os.fsync(stream.fileno())
            info[split] = {"bytes": path.stat().st_size, "counts": counts.tolist(), "names": names}
        with open(temporary / INFO, "w", encoding="utf-8") as text:
            json.dump(info, text)
            text.flush()
            os.fsync(text.fileno())
        _flush_folder(temporary)
        shutil.rmtree(root / key, ignore_errors=True)  # a cache that was not whole
        os.rename(temporary, root / key)
        _flush_folder(root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def pixel_moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, float32 [Ch], of uint8 images [M, H, W, Ch] scaled to [0, 1]."""
    # From counts of the 256 values: exact, whatever the number of pixels, and in one pass
    channels = images.shape[-1]
    histogram = np.zeros((channels, 256), np.int64)
    for start in range(0, len(images), 1024):
        flat = images[start : start + 1024].reshape(-1, channels)
        histogram += [np.bincount(flat[:, channel], minlength=256) for channel in range(channels)]
    share = histogram / histogram.sum(axis=1, keepdims=True)
    values = np.arange(256) / 255
    mean = share @ values
    std = np.sqrt((share * (values - mean[:, None]) ** 2).sum(axis=1))
    return mean.astype(np.float32), std.astype(np.float32)


def digest_of(splits: dict[str, Split]) -> str:
    """16 hexadecimal digits of the splits' images, in order, and of their classes."""
    found = hashlib.sha256()
    for split in SPLITS:
        images, counts, names = splits[split]
        found.update(json.dumps([split, images.shape, counts.tolist(), list(names)]).encode())
        for start in range(0, len(images), 1024):
            found.update(np.ascontiguousarray(images[start : start + 1024]).tobytes())
    return found.hexdigest()[:16]


def contents_of(splits: Mapping[str, Split], shared: bool = False) -> str:
    """16 hexadecimal digits of the images of each class, whatever split they are in."""
    # Sorted, so that the seed that shares out the classes, or the images, does not matter
    found = []
    for images, counts, names in splits.values():
        if shared:  # each image by itself: a class is in several splits
            names = tuple(np.repeat(names, counts).tolist())
            counts = np.ones(len(names), np.int32)
        ends = np.cumsum(counts)
        for name, start, end in zip(names, ends - counts, ends, strict=True):
            pixels = hashlib.sha256(np.ascontiguousarray(images[start:end]).tobytes()).hexdigest()
            found.append([name, images.shape[1:], pixels])
    return hashlib.sha256(json.dumps(sorted(found)).encode()).hexdigest()[:16]


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
