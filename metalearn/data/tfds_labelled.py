"""`labelled_tfds:NAME`: a dataset of TensorFlow Datasets by its own splits of images.

Its `train` and `test` have the same classes and stay as they are, and so does its `validation` (or
`valid`) where there is one. Without a labelled `test`, the published validation split is the test
split. What is then missing is drawn by a seed, from each class, near-duplicates of colour images
kept together: a tenth of the training images for validation, and of a dataset with a single split a
fifth for test. Other splits of it are left out.

How a dataset is prepared and read is as for `tfds:NAME`.
"""

from functools import partial
from pathlib import Path

import numpy as np

from metalearn.data.alike import resized_groups
from metalearn.data.decode import cropped
from metalearn.data.labelled import check_classes, without_images
from metalearn.data.photographs import SIZE
from metalearn.data.source import Prepared, Reader, Split
from metalearn.data.splits import SPLITS
from metalearn.data.strata import ALL_THREE, HELD_OUT, divided, near_notes
from metalearn.data.tfds import OWN_SPLITS, Seen, decode, fingerprint, seen_notes
from metalearn.data.tfds_examples import MODES, Classes, encoded_images, feature_keys, prepared
from metalearn.errors import UserError


def reader(name: str, seed: int = 0, image_size: int | None = None) -> Reader:
    """The reader of the TFDS dataset `name`.

    Args:
      name: as TFDS knows it, with a configuration or version if wanted: 'NAME/CONFIG:1.0.0'.
      seed: of the splits that are drawn.
      image_size: what the shorter side is made before the centre is taken, 224 by default; images
        that all have one size, no larger than that, are not resized, see `read_photographs`.
    """
    size = image_size or SIZE
    read_it = partial(read, name=name, seed=seed, size=size)
    identity = partial(fingerprint, name=name, seed=seed, image_size=size)
    return Reader(read_it, (), 2, 1, identity)


def read(folder: Path, name: str, seed: int, size: int) -> Prepared:
    """`Reader.read`: classes in the order of their labels.

    Args:
      folder: where TFDS keeps its datasets.
      name: of the dataset, as TFDS knows it.
      seed: see `reader`.
      size: of the images, in pixels.

    Raises:
      UserError: an unknown dataset, one that cannot be prepared, one without images and labels, or
        with other classes in training than in test.
    """
    where = f"labelled_tfds:{name}"
    builder = prepared(name, folder)
    image_key, label_key = feature_keys(builder, name)
    features = builder.info.features
    height, width, channels = features[image_key].shape
    if height is None or width is None or max(height, width) > size:
        height = width = size
    height = width = min(height, width)
    stored = {each: encoded_images(builder, name, each) for each in builder.info.splits}
    found = own_splits(stored, where)
    titles = features[label_key].int2str
    check_classes(where, {part: map(titles, classes) for part, classes in found.items()})
    labels = sorted(found["train"])
    splits = {}
    seen: list[Seen] = []
    for part, classes in found.items():
        encoded = [data for label in labels for data in classes.get(label, [])]
        images, kinds = decode(encoded, (height, width), MODES[channels], where, cropped)
        counts = np.array([len(classes.get(label, [])) for label in labels], np.int32)
        splits[part] = Split(images, counts, tuple(map(titles, labels)))
        seen += kinds
    notes, decoder = seen_notes(seen)
    drawn = "valid" not in splits
    if drawn:
        pool = splits.pop("train")
        shares = HELD_OUT if "test" in splits else ALL_THREE
        groups = resized_groups(pool.images)
        splits |= divided(pool, groups, shares, seed, where)
        notes += near_notes(groups)
    ordered = {part: splits[part] for part in SPLITS}
    notes += without_images(ordered["valid"])
    return Prepared(ordered, notes, decoder, by_seed=drawn, shared=True)


def own_splits(found: dict[str, Classes], where: str) -> dict[str, Classes]:
    """The dataset's splits by our names: `train` and perhaps `test` and `valid`.

    Args:
      found: its splits by its own names.
      where: its name, for messages.

    Raises:
      UserError: several splits, but none to train on.
    """
    named = {OWN_SPLITS[part]: classes for part, classes in found.items() if part in OWN_SPLITS}
    own = {part: classes for part, classes in named.items() if classes}
    if len(found) == 1:
        return {"train": next(iter(found.values()))}
    if "train" not in own:
        raise UserError(
            f"{where} has the splits {', '.join(found)}, of which none is for training: read it as "
            "tfds:NAME"
        )
    if "test" not in own and "valid" in own:
        own["test"] = own.pop("valid")
    return own
