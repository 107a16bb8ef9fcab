"""A training assembled for a dataset of which only the shapes are known."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from metalearn.config import Config
from metalearn.data.inputs import inputs_of
from metalearn.data.source import Dataset, Split
from metalearn.training.assemble import Training, assemble
from metalearn.training.lab import Lab
from metalearn.training.parts import make_trained
from metalearn.training.step import EACH, TrainState, start
from metalearn.types import ClassSource, Key, PyTree, random_key


def planned(classes: int, class_images: int, side: int, channels: int) -> Dataset:
    """A dataset whose pixels take no memory.

    Args:
      classes: C of each split.
      class_images: images of each class.
      side: height and width, in pixels.
      channels: of each image.
    """
    shape = (classes * class_images, side, side, channels)
    images = np.broadcast_to(np.zeros((), np.uint8), shape)
    names = tuple(f"class {i}" for i in range(classes))
    split = Split(images, np.full(classes, class_images, np.int32), names)
    half = np.full(channels, 0.5, np.float32)
    return Dataset("planned", split, split, split, half, half)


def lab_of(dataset: Dataset, mesh: Mesh) -> Lab:
    """The planned dataset on the devices of the mesh, which need not be here."""
    of: Any = jax.ShapeDtypeStruct
    each = of(dataset.train.counts.shape, jnp.int32)
    source = ClassSource(of(dataset.train.images.shape, jnp.uint8), each, each)
    return Lab(dataset, source, inputs_of(dataset), mesh)


def assembled(config: Config, lab: Lab, seeds: int = 1) -> Training:
    """The training by so many seeds, a device at work on all of its share of the tasks at once.

    So an accelerator works; a CPU, which works on one task after the other, is not asked.
    """
    together = lab._replace(at_once=max(2, config.meta_batch))
    return assemble(config, together, make_trained(config, together, seeds))


def shapes(training: Training, seeds: int = 1) -> tuple[TrainState, Key, ClassSource, Any]:
    """What the training's chunk is called with: state, key, split and last step."""
    image = training.lab.dataset.train.images.shape[1:]
    x = jax.ShapeDtypeStruct((1, *image), jnp.float32)

    def begin(key: Key, x: jax.Array) -> TrainState:
        return start(training.init, training.optimizer, key, x)

    def keys() -> PyTree:
        return random_key(0) if seeds == 1 else jax.random.split(random_key(0), seeds)

    key = jax.eval_shape(keys)
    begun = begin if seeds == 1 else jax.vmap(begin, (0, None), EACH)
    state = jax.eval_shape(begun, key, x)
    return state, key, training.split, jax.ShapeDtypeStruct((), jnp.int32)
