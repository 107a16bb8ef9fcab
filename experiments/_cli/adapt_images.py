"""Both domains' features and labels, as the flags of `experiments.adapt` ask for them."""

import dataclasses
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from experiments._cli.adapt_arguments import pixels_given
from experiments._cli.define import FLAGS
from experiments._cli.material import open_material, probe
from metalearn.classifiers.judged import Domains
from metalearn.config import Config
from metalearn.data import load, resizes
from metalearn.data.labels import Labelled, Part, labelled
from metalearn.data.source import Dataset
from metalearn.domains.pixels import pixel_rows
from metalearn.domains.trial import Side
from metalearn.domains.types import check_same_classes
from metalearn.training.material import features_of, images_of
from metalearn.types import InputSpec


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


def open_both(config: Config) -> tuple[Config, Domains, str]:
    """Both domains on the devices, for a body that is trained on them.

    Returns:
      The config with the name of the body and the digest of its weights; the domains; digests of
      the positions of their images.

    Raises:
      UserError: no such data set or body; classes that differ.
    """
    folder = FLAGS.target_data_dir or FLAGS.data_dir
    there = dataclasses.replace(config, dataset=config.target)
    if config.bottleneck:
        (config, there) = (probe(each) for each in (config, there))
    (config, source) = open_material(config, FLAGS.data_dir)
    (_, target) = open_material(there, folder)
    check_same_classes(source.labelled.names, target.labelled.names)
    if config.method == "probe":
        labs = [each.place(features_of(each, None)) for each in (source, target)]
    else:
        inputs = _common(source.inputs, target.inputs)
        labs = [each.place(images_of(each))._replace(inputs=inputs) for each in (source, target)]
    hashes = f"{source.labelled.hash}+{target.labelled.hash}"
    return config, Domains(labs[0], labs[1], source.labelled.names), hashes


def _common(source: InputSpec, target: InputSpec) -> InputSpec:
    """The images that a body takes of both domains: of the source's moments, at the larger size."""
    larger = max(source.size, target.size)
    if source.shape != target.shape:
        (first, second, both) = (
            " x ".join(map(str, shape))
            for shape in (source.shape, target.shape, source._replace(size=larger).shape)
        )
        print(f"note: images are {first} and {second}; both become {both}", file=sys.stderr)
    return source._replace(size=larger)
