"""A dataset on the devices, and what training and validation draw from it."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from metalearn.config import Config
from metalearn.data.augment import THEMSELVES, Copies, augmentation
from metalearn.data.episodes import (
    Prepare,
    Sampler,
    as_source,
    batch_sampler,
    check,
    standardise,
    task_sampler,
    turn,
    turn_all,
)
from metalearn.data.host import HostImages, to_host
from metalearn.data.source import Dataset
from metalearn.errors import UserError
from metalearn.evaluation.episodes import draw_episodes
from metalearn.evaluation.evaluator import evaluator
from metalearn.evaluation.metrics import Result
from metalearn.evaluation.statistics import running_statistics
from metalearn.learners.registry import GRADIENT, Method, make_method
from metalearn.parallel import replicate
from metalearn.runtime import device_memory
from metalearn.training.step import task_mesh
from metalearn.types import ClassSource, Learner, PyTree

STREAM_SHARE = 0.25  # of a device's memory: a larger split is streamed


class Lab(NamedTuple):
    """A dataset on the devices.

    Its training split, how images are prepared, and the mesh over tasks.

    at_once is how many tasks a device works on at a time (0: all of its share of the meta-batch).
    Splits stay on the host and are streamed from there if stream is true, or None and they are too
    large.
    """

    dataset: Dataset
    train: ClassSource
    prepare: Prepare
    mesh: Mesh
    at_once: int = 0
    stream: bool | None = None

    @property
    def streamed(self) -> bool:
        """Whether training images come from the host."""
        return isinstance(self.train.images, HostImages)


def make_lab(
    dataset: Dataset, devices: int | None = None, at_once: int = 0, stream: bool | None = None
) -> Lab:
    """Put the training split on every device, or on the first `devices`.

    Each is to work on `at_once` tasks at a time.

    It stays on the host if stream says so, or where that is None, if it would take more than a
    quarter of a device's
    memory: the rest is for what training works on.

    Raises:
      UserError: there are fewer devices.
    """
    if devices is not None and not 1 <= devices <= jax.local_device_count():
        raise UserError(
            f"--devices={devices} asks for {devices} devices, but there are "
            f"{jax.local_device_count()}"
        )
    mesh = task_mesh(devices)
    source = place(dataset, "train", mesh, stream)
    return Lab(dataset, source, standardise(dataset), mesh, at_once, stream)


def place(dataset: Dataset, name: str, mesh: Mesh, stream: bool | None) -> ClassSource:
    """The split `train`, `valid` or `test` on every device, or on the host, see `make_lab`."""
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


def training_sampler(config: Config, lab: Lab, supervised: bool) -> Sampler:
    """What draws a training batch.

    Episodes of the training classes, or labelled images of all of them.

    Raises:
      UserError: the dataset has too few classes or images, or a batch cannot be shared out.
    """
    augment = augmentation(config.augment)
    if config.meta_batch % lab.mesh.size:
        raise UserError(
            f"--meta_batch={config.meta_batch} cannot be shared out to {lab.mesh.size} devices: "
            "give a multiple, or fewer --devices"
        )
    if supervised:
        if config.batch_size % config.meta_batch:
            raise UserError(
                f"--batch_size={config.batch_size} is no multiple of "
                f"--meta_batch={config.meta_batch}"
            )
        sample = batch_sampler(config.batch_size // config.meta_batch, lab.prepare, augment)
        return turned(sample, lab.dataset, config.all_turns) if config.rotation else sample
    shape = (config.train_ways, config.train_shots, config.train_queries)
    where = f"{lab.dataset.name}'s training split"
    check(lab.dataset.train, where, *shape, lab.dataset.rotations, lab.dataset.by_seed)
    if config.most_train_shots >= config.train_shots + config.train_queries:
        images = f"{config.train_shots} shots + {config.train_queries} queries"
        raise UserError(
            f"--most_train_shots={config.most_train_shots} leaves no queries of {images} in "
            "training: lower it, or raise --train_queries"
        )
    largest = int(np.max(lab.dataset.train.counts))
    return task_sampler(largest, *shape, lab.prepare, augment, config.most_train_shots)


def turned(sampler: Sampler, dataset: Dataset, all_turns: bool = False) -> Sampler:
    """The sampler of batches that are then turned, see `turn` and `turn_all`.

    Raises:
      UserError: turned images would be another class, or of another shape.
    """
    height, width = dataset.train.images.shape[1:3]
    if dataset.rotations > 1:
        raise UserError(
            f"--rotation: turned images are classes of their own in {dataset.name}; leave it out"
        )
    if height != width:
        raise UserError(
            f"--rotation turns square images, those of {dataset.name} are {height} x {width}: "
            "--image_size"
        )
    turn_batch = turn_all if all_turns else turn
    return Sampler(sampler.rows, lambda key, source: turn_batch(sampler.make(key, source)))


def support_copies(config: Config) -> Copies:
    """The copies of support images that heads are fitted to at test.

    They are augmented as in Tian et al. 2020's last code.
    """
    if config.support_copies == 1:
        return THEMSELVES
    return Copies(config.support_copies, augmentation("crop,flip"))


def tasks_at_once(config: Config, asked: int) -> int:
    """How many tasks a device trains on at a time (0: all of its share).

    As many as asked for, if that is not 0. Else on a CPU one, where tasks adapt the body: kernels
    of several tasks at once are slower there.
    """
    one = config.method in GRADIENT and jax.local_devices()[0].platform == "cpu"
    return asked or int(one)


def make_trained(config: Config, lab: Lab, seeds: int = 1) -> Method:
    """The config's method for this dataset, to be trained by so many seeds at once.

    Raises:
      UserError: as `make_method`.
    """
    shared = seeds == 1 and (
        config.method not in GRADIENT or tasks_at_once(config, lab.at_once) == 1
    )
    return make_method(config, len(lab.dataset.train.counts) * lab.dataset.rotations, shared)


def check_test(config: Config, lab: Lab, split: str) -> None:
    """Raise `UserError` unless a split has classes and images for test episodes.

    The split is `valid` or `test`.
    """
    name = {"valid": "validation", "test": "test"}[split]
    where = f"{lab.dataset.name}'s {name} split"
    shape = (config.ways, config.shots, config.queries)
    check(getattr(lab.dataset, split), where, *shape, lab.dataset.rotations, lab.dataset.by_seed)


def make_validate(config: Config, method: Method, lab: Lab) -> Callable[[PyTree], Result]:
    """`meta -> Result` on the validation split's episodes, under the normalisation of training."""
    check_test(config, lab, "valid")
    source = split_source(lab, "valid")
    learner = method.test(config.norm)
    shape = (config.ways, config.shots, config.queries)
    episodes = draw_episodes(source, config.valid_episodes, *shape, seed=config.eval_seed)
    where = (source, episodes, lab.prepare, lab.mesh)
    run = evaluator(learner, *where, block=lab.at_once or None, copies=support_copies(config))
    with_moments = with_running_statistics(config, method, lab, learner)
    return lambda meta: run(with_moments(meta))


def with_running_statistics(
    config: Config, method: Method, lab: Lab, learner: Learner
) -> Callable[[PyTree], PyTree]:
    """`meta -> meta` ready for a test of the learner, see `running_statistics`.

    Args:
      config: of the training.
      method: that was trained.
      lab: with the split that it was trained on.
      learner: to be tested.
    """
    return running_statistics(learner, lab.train, training_sampler(config, lab, method.supervised))
