"""Datasets by name: `load('cifar_fs', data_dir)`."""

import difflib
import importlib
import re
import sys
from pathlib import Path
from typing import Any

from metalearn.data.cache import cached, default_root, expanded, open_cache
from metalearn.data.download import check_digests, fetch
from metalearn.data.locks import TEMPORARY
from metalearn.data.source import Dataset, Reader, Split
from metalearn.errors import UserError

# Where each dataset's `Reader` is, or a function of load's options that makes one. A module is
# imported when its dataset is asked for: some need packages that others do without.
READERS = {
    "cifar10": "metalearn.data.cifar_labelled:cifar10",
    "cifar100": "metalearn.data.cifar_labelled:cifar100",
    "cifar_fs": "metalearn.data.cifar:cifar_fs",
    "fashion_mnist": "metalearn.data.idx:fashion_mnist",
    "fc100": "metalearn.data.cifar:fc100",
    "folder": "metalearn.data.folder:reader",
    "glyphs": "metalearn.data.glyphs:READER",
    "grocery": "metalearn.data.grocery:grocery",
    "grocery_iconic": "metalearn.data.grocery:grocery_iconic",
    "labelled": "metalearn.data.labelled_folder:reader",
    "mini_imagenet": "metalearn.data.mini_imagenet:reader",
    "mnist": "metalearn.data.idx:mnist",
    "omniglot": "metalearn.data.omniglot:omniglot",
    "usps": "metalearn.data.usps:usps",
}
LARGEST_IMAGE = 4096
# Of prefixes, functions of the name behind them and of load's options
NAMED = {
    "tfds:": "metalearn.data.tfds:reader",
    "labelled_tfds:": "metalearn.data.tfds_labelled:reader",
}
NAMES = (*READERS, *(f"{prefix}NAME" for prefix in NAMED))  # what --dataset takes


def load(
    name: str,
    data_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    seed: int = 0,
    image_size: int | None = None,
) -> Dataset:
    """A dataset, memory-mapped; the first call downloads its files and prepares it.

    Args:
      name: one of `READERS`, 'tfds:NAME' or 'labelled_tfds:NAME'.
      data_dir: where the official files are, or are downloaded to; for `folder`, `labelled` and
        `mini_imagenet` the user's images. By default `downloads` in the cache folder.
      cache_dir: where prepared datasets are kept; by default $METALEARN_CACHE,
        $XDG_CACHE_HOME/metalearn or ~/.cache/metalearn.
      seed: of the class split of a `folder` without `train` and `test` subfolders, and of
        'tfds:NAME'; of the images of each class for `labelled` and 'labelled_tfds:NAME'.
      image_size: height and width to resize to, in pixels, for `folder`, `mini_imagenet` (84 by
        default) and 'tfds:NAME'; for `labelled`, `grocery` and `grocery_iconic` (224 by default)
        and 'labelled_tfds:NAME', what the shorter side is made before the centre is taken.

    Raises:
      UserError: unknown name, missing or damaged files, a cache that cannot be written.

    Example: `glyphs` is drawn, not downloaded; the first time it takes about a minute.

        >>> from metalearn.data import load
        >>> glyphs = load("glyphs")
        >>> glyphs.train.images.shape[1:], glyphs.train.images.dtype, int(glyphs.train.counts[0])
        ((28, 28, 1), dtype('uint8'), 20)
    """
    if image_size and image_size > LARGEST_IMAGE:
        raise UserError(f"--image_size={image_size} is too large: at most {LARGEST_IMAGE}")
    reader = find_reader(name, seed, image_size)
    root = expanded(cache_dir) if cache_dir else default_root()
    folder = expanded(data_dir) if data_dir else root / "downloads"
    fetch(reader.files, folder)

    def prepare() -> dict[str, Split]:
        splits = reader.read(folder)
        check_digests(reader.files, folder)
        return splits

    prefix = _slug(f"{name}-v{reader.version}-")
    key = prefix + _slug(reader.fingerprint(folder))
    dataset = _of_another_version(root, key, prefix) if reader.lasting else None
    if dataset is None:
        dataset = cached(root, key, prepare)
    dataset = dataset._replace(name=name, rotations=reader.rotations)
    for line in (*dataset.notes, *constant_channels(dataset)):
        print(line, file=sys.stderr)
    return dataset


def _slug(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text)


def _of_another_version(root: Path, key: str, prefix: str) -> Dataset | None:
    """The newest cache made with another version of a library, if there is none of this one."""
    if open_cache(root / key) is not None:
        return None
    caches = (path for path in root.glob(f"{prefix}*") if path.suffix != TEMPORARY)
    newest = sorted(caches, key=lambda path: path.stat().st_mtime, reverse=True)
    return next((found for path in newest if (found := open_cache(path)) is not None), None)


def constant_channels(dataset: Dataset) -> list[str]:
    """A note on channels that are the same in all training pixels; [] where there are none."""
    flat = [str(i) for i, deviation in enumerate(dataset.std, 1) if deviation == 0]
    if not flat:
        return []
    channels = f"channels {', '.join(flat)}" if len(flat) > 1 else f"channel {flat[0]}"
    where = "the same in all pixels of the training split"
    return [f"note: {channels} of {len(dataset.std)}, {where}, becomes 0"]


def known(name: str) -> str:
    """Where the reader of a dataset is.

    Raises:
      UserError: unknown name.
    """
    if name not in READERS:
        close = difflib.get_close_matches(name, READERS, 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise UserError(f"unknown dataset {name!r}.{hint} Known: {', '.join(NAMES)}.")
    return READERS[name]


def find_reader(name: str, seed: int = 0, image_size: int | None = None) -> Reader:
    """The reader of `name`; `seed` and `image_size` as in `load`.

    Raises:
      UserError: unknown name.
    """
    if (prefix := _prefix(name)) is not None:
        make = _import(NAMED[prefix])
        return make(name.removeprefix(prefix), seed=seed, image_size=image_size)
    found = _import(known(name))
    if not isinstance(found, Reader):
        return found(seed=seed, image_size=image_size)
    if image_size:
        raise UserError(
            f"--image_size: the images of {name} have the size that is published; leave it out"
        )
    return found


def resizes(name: str) -> bool:
    """Whether `load` can resize the images of a dataset: photographs, a user's own, those of TFDS.

    Raises:
      UserError: unknown name.
    """
    return _prefix(name) is not None or not isinstance(_import(known(name)), Reader)


def plain(name: str) -> str:
    """The name of a dataset without what says how it is read: 'mnist' of 'labelled_tfds:mnist'."""
    prefix = _prefix(name) or ""
    return re.split("[/:]", name.removeprefix(prefix))[0] if prefix else name


def _prefix(name: str) -> str | None:
    return next((prefix for prefix in NAMED if name.startswith(prefix)), None)


def _import(target: str) -> Any:
    module, attribute = target.split(":")
    return getattr(importlib.import_module(module), attribute)
