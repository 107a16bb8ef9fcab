"""`tfds:NAME` or `tfds:NAME/CONFIG`: any image classification dataset of TensorFlow Datasets.

All its splits are pooled, an image that is in several of them counting once, and the classes are
split by a seed, 64 % for training, 16 % for validation and 20 % for test. Where its splits are
`train`, `validation` (or `valid`) and `test` and share no class, it is a few-shot dataset already,
and they stay as they are.

A dataset that is prepared in array_record, parquet or tfrecord format is read without TensorFlow.
One that is not is downloaded and prepared first, in array_record format; most datasets' own code
needs TensorFlow for that, once.
"""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from metalearn.data.decode import EXACT, Fit, formats, on_white
from metalearn.data.download import hash_of, identities
from metalearn.data.folder import SIZE
from metalearn.data.images import DECODER, on_white_note
from metalearn.data.shares import shared_out
from metalearn.data.source import Prepared, Reader, Split
from metalearn.data.splits import SPLITS
from metalearn.data.tfds_examples import (
    MODES,
    Classes,
    encoded_images,
    feature_keys,
    one_line,
    prepared,
)
from metalearn.errors import UserError

OWN_SPLITS = {"train": "train", "validation": "valid", "valid": "valid", "test": "test"}


class Seen(NamedTuple):
    """Properties of an image as it was read; see `metalearn.data.decode.Picture`."""

    transparent: bool
    exact: bool


def reader(name: str, seed: int = 0, image_size: int | None = None) -> Reader:
    """The reader of the TFDS dataset `name`.

    Args:
      name: as TFDS knows it, with a configuration or version if wanted: 'NAME/CONFIG:1.0.0'.
      seed: of the class split.
      image_size: height and width to resize to; by default images keep their size if it is one for
        all of them, and are made `metalearn.data.folder.SIZE` pixels high and wide otherwise. What
        is transparent is laid on white.
    """
    read_it = partial(read, name=name, seed=seed, image_size=image_size)
    identity = partial(fingerprint, name=name, seed=seed, image_size=image_size)
    return Reader(read_it, (), 2, 1, identity)


def read(folder: Path, name: str, seed: int = 0, image_size: int | None = None) -> Prepared:
    """`Reader.read`: classes in the order of their labels.

    Args:
      folder: where TFDS keeps its datasets.
      name: of the dataset, as TFDS knows it.
      seed: of the class split.
      image_size: see `reader`.

    Raises:
      UserError: an unknown dataset, one that cannot be prepared, one without images and labels, or
        with fewer than three classes.
    """
    builder = prepared(name, folder)
    image_key, label_key = feature_keys(builder, name)
    features = builder.info.features
    height, width, channels = features[image_key].shape
    if image_size or height is None or width is None:
        height = width = image_size or SIZE
    found = {split: encoded_images(builder, name, split) for split in builder.info.splits}
    published = _published_splits(found)
    splits = {}
    seen: list[Seen] = []
    for split, classes in (published or _split_classes(found, name, seed)).items():
        encoded = [data for images in classes.values() for data in images]
        images, kinds = decode(encoded, (height, width), MODES[channels], f"tfds:{name}")
        counts = np.array([len(images) for images in classes.values()], np.int32)
        names = tuple(features[label_key].int2str(label) for label in classes)
        splits[split] = Split(images, counts, names)
        seen += kinds
    return Prepared(splits, *seen_notes(seen), by_seed=published is None)


def seen_notes(seen: Sequence[Seen]) -> tuple[list[str], str]:
    """Notes on what was done to the images, and the library that decided their pixels, if any."""
    clear = sum(kind.transparent for kind in seen)
    notes = [f"note: {on_white_note(clear, len(seen))}"] if clear else []
    return notes, "" if all(kind.exact for kind in seen) else DECODER


def fingerprint(folder: Path, name: str, seed: int, image_size: int | None) -> str:
    """Names, sizes and times of the prepared files, hashed together with the options.

    Args:
      folder: where TFDS keeps its datasets.
      name: of the dataset, as TFDS knows it.
      seed: of the class split.
      image_size: see `reader`.

    Raises:
      UserError: a dataset that is unknown or cannot be prepared, or a file that cannot be read.
    """
    builder = prepared(name, folder)
    files = [Path(path) for split in builder.info.splits.values() for path in split.filepaths]
    return hash_of(seed, image_size, identities(Path(builder.data_dir), sorted(files)))


def _published_splits(found: dict[str, Classes]) -> dict[str, Classes] | None:
    """The dataset's own splits, if they are three that share no class."""
    own = {OWN_SPLITS[split]: classes for split, classes in found.items() if split in OWN_SPLITS}
    if len(found) != 3 or len(own) != 3 or not all(own.values()):
        return None
    if sum(map(len, own.values())) != len(set().union(*own.values())):
        return None
    return {split: dict(sorted(own[split].items())) for split in SPLITS}


def _split_classes(found: dict[str, Classes], name: str, seed: int) -> dict[str, Classes]:
    """Train, valid and test by the seed, classes sorted by label.

    Raises:
      UserError: fewer than three classes.
    """
    labels = sorted(set().union(*found.values()))
    if len(labels) < 3:
        raise UserError(f"tfds:{name} has {len(labels)} classes; it takes 6 or more to split them.")
    parts = shared_out(labels, seed)
    return {split: {label: _pooled(found, label) for label in parts[split]} for split in SPLITS}


def _pooled(found: dict[str, Classes], label: int) -> list[bytes]:
    """The images of the label in all splits, each once."""
    images = [image for classes in found.values() for image in classes.get(label, ())]
    return list(dict.fromkeys(images))


def decode(
    encoded: Sequence[bytes],
    size: tuple[int, int],
    mode: str,
    where: str,
    fit: Fit | None = None,
) -> tuple[np.ndarray, list[Seen]]:
    """Images uint8 [M, H, W, Ch] and their properties.

    Args:
      encoded: files of images.
      size: H and W.
      mode: Pillow's, of Ch channels.
      where: the dataset, for messages.
      fit: how images of another size are resized to H = W; by default by Pillow's Lanczos filter,
        not cropped.

    Raises:
      UserError: an image does not decode.
    """
    images = np.empty((len(encoded), *size, len(mode)), np.uint8)

    def fill(index: int) -> Seen:
        with Image.open(io.BytesIO(encoded[index]), formats=formats()) as file:
            exact = file.format in EXACT and file.size == size[::-1]
            image, transparent = on_white(file, mode)
        if image.size != size[::-1]:
            if fit is not None:
                image = fit(image, size[0])
            else:
                image = image.resize(size[::-1], Image.Resampling.LANCZOS)
        images[index] = np.asarray(image).reshape(images.shape[1:])
        return Seen(transparent, exact)

    try:
        with ThreadPoolExecutor() as pool:  # Pillow decodes outside Python's global lock
            return images, list(pool.map(fill, range(len(encoded))))
    except MemoryError:
        raise
    except Exception as error:  # decoders raise what their formats can get wrong
        raise UserError(
            f"{where}: an image does not decode ({one_line(error)}): prepare it again."
        ) from error
