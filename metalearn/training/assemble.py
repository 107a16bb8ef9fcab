"""A training assembled of its settings and a dataset, the same for the loop and for benchmarks."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import optax

from metalearn.config import Config
from metalearn.data.sampler import Sampler
from metalearn.learners.method import Method
from metalearn.ops.optimizers import make_optimizer
from metalearn.parallel import replicate
from metalearn.training.distill import with_teacher
from metalearn.training.gradient import Loss, Sample
from metalearn.training.lab import Lab
from metalearn.training.parts import make_trained, tasks_at_once, training_sampler
from metalearn.training.state import Run, initial_state
from metalearn.training.step import Chunk, TrainState, make_chunk, no_sums, stacked
from metalearn.training.stream import Stream, Supply
from metalearn.types import Key, PyTree, random_key


class Training(NamedTuple):
    """What a training consists of before its first step.

    The training split of the lab may be shapes alone, its mesh of devices that are not here: then
    the chunk can be compiled, and neither key, state nor supply be had.

    Attributes:
      config: its settings; of several seeds at once, those of the first.
      lab: the dataset on the devices.
      init: `(key, x) -> meta`, the parameters before the first step.
      loss: `(key, meta, batch, step) -> (scalar, info)` of a batch.
      supervised: trained on batches of labelled images, not on episodes.
      optimizer: the outer optimiser.
      sampler: draws a batch in two halves, between which a host may fetch its images.
      sample: `(key, source) -> batch`, as the compiled step draws one: by both halves of the
        sampler, or by the second alone where images come from the host, or with a teacher's logits.
      split: what batches are drawn from: the training split, or with a teacher that and the
        teacher's parameters.
      at_once: tasks a device works on at a time, 0 for all of its share.
      chunk: `(state, key, source, stop[, sums]) -> (state, progress)`, see `make_chunk`.
    """

    config: Config
    lab: Lab
    init: Callable[..., PyTree]
    loss: Loss
    supervised: bool
    optimizer: optax.GradientTransformation
    sampler: Sampler
    sample: Sample
    split: PyTree
    at_once: int
    chunk: Chunk

    def key(self, seeds: Sequence[int] = ()) -> Key:
        """The key that all tasks follow from, on every device; of several seeds [S]."""
        of = seeds or (self.config.seed,)
        return stacked([replicate(random_key(seed + 1), self.lab.mesh) for seed in of])

    def state(self) -> TrainState:
        """The state before the first step, on every device."""
        return initial_state(self.config, self.init, self.lab, self.optimizer)

    @property
    def batch(self) -> tuple[str, int]:
        """What a step goes through, `images` or `tasks`, and how many of them."""
        if self.supervised:
            return "images", self.config.batch_size
        return "tasks", self.config.meta_batch

    def reported(self, meta: PyTree, source: PyTree) -> list[str]:
        """Names of the numbers whose means over steps are reported."""
        return sorted(no_sums(self.loss, self.sample, meta, random_key(0), source))

    def supply(self, key: Key) -> Supply:
        """Where the steps that follow from this key get their images from; to be closed."""
        if not self.lab.streamed:
            return Supply(self.split)
        where = (self.config.meta_batch, self.lab.mesh)
        return Supply(self.split, Stream(self.sampler, self.lab.train, key, *where))


def assemble(
    config: Config, lab: Lab, method: Method | None = None, teacher: Run | None = None
) -> Training:
    """The training by these settings on this dataset.

    Args:
      config: the settings.
      lab: the dataset on the devices, or its shapes.
      method: what is trained [the config's method, by one seed].
      teacher: the finished run whose logits go with the batches.

    Raises:
      UserError: the settings do not fit the dataset or the devices, or as `with_teacher`.
    """
    method = method or make_trained(config, lab)
    sampler = training_sampler(config, lab, method.supervised)
    other = None if teacher is None else with_teacher(config, teacher, lab, sampler)
    train = method.train
    parts = (train.init, train.loss, make_optimizer(config), sampler, method.supervised)
    return assembled(config, lab, *parts, other)


def assembled(
    config: Config,
    lab: Lab,
    init: Callable[..., PyTree],
    loss: Loss,
    optimizer: optax.GradientTransformation,
    sampler: Sampler,
    supervised: bool,
    drawn: tuple[Sample, PyTree] | None = None,
) -> Training:
    """The training of its parts.

    Args:
      config, lab, init, loss, optimizer, sampler, supervised: see `Training`.
      drawn: how batches are drawn, and what from, where that is not the sampler from the split.
    """
    sample: Sample = sampler.make if lab.streamed else sampler
    split: PyTree = lab.train
    if drawn is not None:
        (sample, split) = drawn
    at_once = tasks_at_once(lab.at_once)
    chunk = make_chunk(loss, sample, optimizer, config.meta_batch, lab.mesh, at_once, lab.streamed)
    return Training(
        config, lab, init, loss, supervised, optimizer, sampler, sample, split, at_once, chunk
    )
