"""What a classifier of fixed classes is trained on: images, or features of stages that are frozen.

Stages before the first one that is trained are computed once for all images and kept on disk, where
images are not augmented; else they are part of drawing a batch, as a teacher's logits are.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from metalearn.config import Config
from metalearn.data.inputs import standardise
from metalearn.data.labels import Labelled, Part, labelled
from metalearn.data.source import Dataset, Split
from metalearn.models.zoo import OTHERS
from metalearn.training.backbone import (
    digest_of,
    first_trained,
    fixed_part,
    frozen_stages,
    head_of,
    stages_before,
)
from metalearn.training.features import FULL, cached_features, features_path
from metalearn.training.lab import Lab, make_lab, mesh_of
from metalearn.types import Array, Body, InputSpec, PyTree

WHOLE = "features"  # in the name of a cache: of the whole body


class Division(NamedTuple):
    """Which of a body's stages are trained.

    Attributes:
      first: the first one that is; None for the very first, or where a body has no stages.
      frozen: those that stay as they are.
    """

    first: str | None
    frozen: tuple[str, ...]


class Material(NamedTuple):
    """A body, and the images that it becomes a classifier of.

    Attributes:
      body: with its weights, unless they are to be random.
      inputs: the images that it takes.
      division: which of its stages are trained.
      dataset: whose images they are.
      labelled: which of its images are trained on, and which tested.
      root: folder of caches.
      mesh: of the devices.
      place: `dataset -> Lab`, puts a dataset on the devices.
      precision: of what is computed.
    """

    body: Body
    inputs: InputSpec
    division: Division
    dataset: Dataset
    labelled: Labelled
    root: Path
    mesh: Mesh
    place: Callable[[Dataset], Lab]
    precision: str = FULL

    @property
    def dtype(self) -> jnp.dtype:
        """What matrix products are computed in."""
        return jnp.bfloat16 if self.precision == "bfloat16" else jnp.float32


def division(config: Config, body: Body) -> Division:
    """Which stages the config's strategy trains.

    Raises:
      UserError: as `frozen_stages`.
    """
    if config.method != "partial":
        return Division(None, ())
    frozen = frozen_stages(body, config.freeze, config.backbone)
    return Division(first_trained(body, frozen), frozen)


def gather(
    config: Config,
    dataset: Dataset,
    body: Body,
    inputs: InputSpec,
    root: Path,
    options: tuple[int | None, int, bool | None] = (None, 0, None),
) -> Material:
    """The material of a run.

    Args:
      config: its settings.
      dataset: that they name.
      body: that they name.
      inputs: the images that it takes.
      root: folder of caches.
      options: devices, tasks at once and stream, as of `make_lab`.

    Raises:
      UserError: settings that do not fit the body or the dataset.
    """

    def place(chosen: Dataset) -> Lab:
        return make_lab(chosen, *options, inputs, body)

    found = labelled(dataset, config.labels, config.learned, config.seed)
    mesh = mesh_of(options[0])
    parts = division(config, body)
    return Material(
        body, inputs, parts, dataset, found, root, mesh, place, precision=config.precision
    )


def images_of(material: Material) -> Dataset:
    """The dataset of the chosen images alone."""
    return _chosen(material, lambda split: getattr(material.dataset, split).images)


def features_of(
    material: Material,
    first: str | None,
    parts: tuple[str, ...] = ("train", "valid", "test"),
) -> Dataset:
    """The dataset of the chosen images' features, computed by the stages before one.

    Args:
      material: body and images.
      first: the stage that takes them; None for the features of the whole body.
      parts: of the dataset that are wanted; others are empty.

    Raises:
      UserError: the cache cannot be written.
    """
    before = stages_before(material.body, first) or None
    params = fixed_part(material.body, before)
    function = head_of(material.body, first, material.dtype)
    prepare = standardise(material.inputs)

    def of_images(fixed: PyTree, x: Array) -> Array:
        return function(fixed, prepare(x))

    weights = digest_of(material.body)
    if material.body.name in OTHERS:  # the same weights, in another network
        weights = f"{weights}-{material.body.name}"

    def features(split: str) -> np.ndarray:
        where = (material.dataset, split, weights, material.inputs, first or WHOLE)
        path = features_path(material.root, *where, material.precision)
        images = getattr(material.dataset, split).images
        return cached_features(path, of_images, params, images, material.mesh)

    return _chosen(material, features, parts)


def _chosen(
    material: Material,
    array_of: Callable[[str], np.ndarray],
    parts: tuple[str, ...] = ("train", "valid", "test"),
) -> Dataset:
    """The chosen rows of an array of each split, as a dataset; parts left out are empty."""
    labelled = material.labelled
    train = labelled.train
    none = Part(train.split, train.rows[:0], np.zeros_like(train.counts))
    chosen = {name: getattr(labelled, name) or none for name in parts}
    arrays = {name: array_of(name) for name in {part.split for part in chosen.values()}}

    def split(name: str) -> Split:
        part = chosen.get(name, none)
        array = arrays[part.split]
        if not np.array_equal(part.rows, np.arange(len(array))):
            array = array[part.rows]
        return Split(array, part.counts, labelled.names)

    return material.dataset._replace(
        train=split("train"), valid=split("valid"), test=split("test"), rotations=1
    )
