"""Both domains' features and labels, as the flags of `experiments.adapt` ask for them."""

import dataclasses
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
      side: their features and labels.
    """

    dataset: Dataset
    labelled: Labelled
    side: Side


def open_domains(config: Config) -> tuple[Config, Domain, Domain]:
    """The config with its weights' digest, the source and the target.

    Raises:
      UserError: no such data set or body; classes that differ; images that do not fit the body.
    """
    folder = FLAGS.target_data_dir or FLAGS.data_dir
    if pixels_given():
        source = _of_pixels(config, FLAGS.source, FLAGS.data_dir)
        target = _of_pixels(config, FLAGS.target, folder)
        _told(source, target, f"{FLAGS.pixels} x {FLAGS.pixels}, grey")
        return config, source, target
    (found, source, size) = _of_body(config, FLAGS.data_dir)
    there = dataclasses.replace(config, dataset=FLAGS.target)
    (_, target, _) = _of_body(there, folder)
    _told(source, target, size)
    return found, source, target


def _told(source: Domain, target: Domain, becomes: str) -> None:
    """Say what images of different sizes or channels become; see that the classes are the same."""
    check_same_classes(source.labelled.names, target.labelled.names)
    shapes = [each.dataset.train.images.shape[1:] for each in (source, target)]
    if shapes[0] != shapes[1]:
        (first, second) = (" x ".join(map(str, shape)) for shape in shapes)
        print(f"note: images are {first} and {second}; both become {becomes}")


def _of_pixels(config: Config, name: str, folder: str | None) -> Domain:
    size = config.image_size if resizes(name) else 0
    dataset = load(name, folder, FLAGS.cache_dir, config.seed, size or None)
    found = labelled(dataset)

    def rows(part: Part) -> np.ndarray:
        return pixel_rows(getattr(dataset, part.split).images[part.rows], FLAGS.pixels)

    return Domain(dataset, found, _side(found, rows(found.train), rows(found.test)))


def _of_body(config: Config, folder: str | None) -> tuple[Config, Domain, str]:
    """The config with its weights' digest, a domain, and the images that the body takes."""
    (config, material) = open_material(config, folder)
    features = features_of(material, None, ("train", "test"))
    (train, test) = (np.asarray(split.images) for split in (features.train, features.test))
    side = _side(material.labelled, train, test)
    size = " x ".join(map(str, material.inputs.shape))
    return config, Domain(material.dataset, material.labelled, side), size


def _side(found: Labelled, train: np.ndarray, test: np.ndarray) -> Side:
    labels = (found.train.labels.astype(np.int64), found.test.labels.astype(np.int64))
    return Side(train, labels[0], test, labels[1])
