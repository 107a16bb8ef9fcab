"""Both domains' features and labels, as the flags of `experiments.adapt` ask for them."""

import dataclasses
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from experiments._cli.adapt_arguments import pixels_given
from experiments._cli.define import FLAGS
from experiments._cli.material import open_material
from metalearn.config import Config
from metalearn.data import load, resizes
from metalearn.data.labels import Labelled, Part, labelled
from metalearn.data.source import Dataset
from metalearn.domains.pixels import pixel_rows
from metalearn.domains.trial import Side
from metalearn.domains.types import check_same_classes
from metalearn.training.material import features_of


class Domain(NamedTuple):
    """A data set as one of two domains.

    Attributes:
      dataset: it.
      labelled: which of its images are trained on, and which tested.
      compute: features of the images that are trained on, and of those that are tested.
    """

    dataset: Dataset
    labelled: Labelled
    compute: Callable[[], tuple[np.ndarray, np.ndarray]]

    def side(self) -> Side:
        """Features and labels."""
        (train, test) = self.compute()
        (of_train, of_test) = (part.labels for part in (self.labelled.train, self.labelled.test))
        return Side(train, of_train.astype(np.int64), test, of_test.astype(np.int64))


def open_domains(config: Config) -> tuple[Config, Domain, Domain]:
    """The config with its weights' digest, the source and the target.

    Raises:
      UserError: no such data set or body; classes that differ.
    """
    folder = FLAGS.target_data_dir or FLAGS.data_dir
    if pixels_given():
        source = _of_pixels(config, FLAGS.source, FLAGS.data_dir)
        target = _of_pixels(config, FLAGS.target, folder)
        size = f"{FLAGS.pixels} x {FLAGS.pixels}, grey"
    else:
        there = dataclasses.replace(config, dataset=FLAGS.target)
        (config, source, size) = _of_body(config, FLAGS.data_dir)
        (_, target, _) = _of_body(there, folder)
    check_same_classes(source.labelled.names, target.labelled.names)
    shapes = [each.dataset.train.images.shape[1:] for each in (source, target)]
    if shapes[0] != shapes[1]:
        (first, second) = (" x ".join(map(str, shape)) for shape in shapes)
        print(f"note: images are {first} and {second}; both become {size}", file=sys.stderr)
    return config, source, target


def _of_pixels(config: Config, name: str, folder: str | None) -> Domain:
    size = config.image_size if resizes(name) else 0
    dataset = load(name, folder, FLAGS.cache_dir, config.seed, size or None)
    found = labelled(dataset)

    def rows(part: Part) -> np.ndarray:
        return pixel_rows(getattr(dataset, part.split).images[part.rows], FLAGS.pixels)

    return Domain(dataset, found, lambda: (rows(found.train), rows(found.test)))


def _of_body(config: Config, folder: str | None) -> tuple[Config, Domain, str]:
    """The config with its weights' digest, a domain, and the images that the body takes."""
    (config, material) = open_material(config, folder)

    def compute() -> tuple[np.ndarray, np.ndarray]:
        features = features_of(material, None, ("train", "test"))
        return np.asarray(features.train.images), np.asarray(features.test.images)

    size = " x ".join(map(str, material.inputs.shape))
    return config, Domain(material.dataset, material.labelled, compute), size
