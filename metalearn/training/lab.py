"""A dataset on the devices, and the mesh that shares out its tasks."""

import math
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from metalearn.data.episodes import Prepare, as_source
from metalearn.data.host import HostImages, to_host
from metalearn.data.inputs import inputs_of, standardise
from metalearn.data.source import Dataset
from metalearn.errors import UserError
from metalearn.parallel import replicate
from metalearn.runtime import device_memory
from metalearn.training.step import task_mesh
from metalearn.types import Body, ClassSource, InputSpec

STREAM_SHARE = 0.25  # of a device's memory: a larger split is streamed


class Lab(NamedTuple):
    """A dataset on the devices.

    Attributes:
      dataset: its three splits, on the host.
      train: the training split, on the devices, or on the host if it is streamed.
      inputs: the images that the body takes.
      mesh: of the devices.
      at_once: tasks that a device works on at a time (0: all of its share of the meta-batch).
      stream: whether splits stay on the host; None where their size decides.
      body: pre-trained, that trainings begin from; None for random weights.
    """

    dataset: Dataset
    train: ClassSource
    inputs: InputSpec
    mesh: Mesh
    at_once: int = 0
    stream: bool | None = None
    body: Body | None = None

    @property
    def prepare(self) -> Prepare:
        """What makes the dataset's images what the body takes; features stay as they are."""
        if self.dataset.train.images.dtype == np.float32:
            return lambda x: x
        return standardise(self.inputs)

    @property
    def classes(self) -> int:
        """Training classes, with those that are others turned."""
        return len(self.dataset.train.counts) * self.dataset.rotations

    @property
    def streamed(self) -> bool:
        """Whether training images come from the host."""
        return isinstance(self.train.images, HostImages)


def mesh_of(devices: int | None) -> Mesh:
    """The mesh of so many devices of each process; of all if None.

    Raises:
      UserError: there are fewer.
    """
    if devices is not None and not 1 <= devices <= jax.local_device_count():
        raise UserError(
            f"--devices={devices} asks for {devices} devices, but there are "
            f"{jax.local_device_count()}"
        )
    return task_mesh(devices)


def make_lab(
    dataset: Dataset,
    devices: int | None = None,
    at_once: int = 0,
    stream: bool | None = None,
    inputs: InputSpec | None = None,
    body: Body | None = None,
) -> Lab:
    """The dataset with its training split on the devices.

    Args:
      dataset: as `metalearn.data.load` opens it.
      devices: the first so many are used; all if None.
      at_once: tasks that a device works on at a time; 0 for all of its share.
      stream: whether splits stay on the host; None: those that would take more than a quarter of a
        device's memory, for the rest is for what training works on.
      inputs: the images that the body takes, of one trained on another dataset; by default this
        one's.
      body: pre-trained, that trainings begin from.

    Raises:
      UserError: there are fewer devices.
    """
    mesh = mesh_of(devices)
    source = place(dataset, "train", mesh, stream)
    return Lab(dataset, source, inputs or inputs_of(dataset), mesh, at_once, stream, body)


def place(dataset: Dataset, name: str, mesh: Mesh, stream: bool | None) -> ClassSource:
    """The split on every device, or on the host.

    Args:
      dataset: whose split it is.
      name: `train`, `valid` or `test`.
      mesh: of the devices.
      stream: as in `make_lab`.
    """
    split = getattr(dataset, name)
    if stream is None:
        stream = split.images.nbytes * dataset.rotations > STREAM_SHARE * device_memory()
    return (
        to_host(split, dataset.rotations)
        if stream
        else replicate(as_source(split, dataset.rotations), mesh)
    )


def even_devices(meta_batch: int) -> int:
    """The most devices of each process that share out the tasks of a step evenly.

    Raises:
      UserError: even one of each is too many.
    """
    processes = jax.process_count()
    if meta_batch % processes:
        raise UserError(
            f"--meta_batch={meta_batch} cannot be shared out to {processes} processes: give a "
            "multiple"
        )
    return math.gcd(meta_batch // processes, jax.local_device_count())


def split_source(lab: Lab, name: str) -> ClassSource:
    """The split `train`, `valid` or `test`, placed as the lab places splits."""
    if name == "train":
        return lab.train
    return place(lab.dataset, name, lab.mesh, lab.stream)
