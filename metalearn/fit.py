"""Training one run to its end: chunks, validation, checkpoints, resume."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from tqdm import tqdm

from metalearn.base import ClassSource, PyTree
from metalearn.checkpoint import Best, Checkpoints
from metalearn.config import Config
from metalearn.data.augment import augmentation
from metalearn.data.episodes import Prepare, batch_sampler, check, standardise, task_sampler, to_device
from metalearn.data.source import Dataset
from metalearn.errors import Interrupted, UserError
from metalearn.evaluate import Result, draw_episodes, evaluator, moments_measurer
from metalearn.methods import Method
from metalearn.metrics import Diary
from metalearn.optimizers import make_optimizer
from metalearn.runtime import Interrupt
from metalearn.train import Progress, Sample, TrainState, make_chunk, start, task_mesh

LOG_EVERY = 100
SAVE_SECONDS = 60.0
CHUNK_SECONDS = 2.0  # how long Ctrl-C may have to wait


class Lab(NamedTuple):
    """A dataset on the devices: its training split, how images are prepared, and the mesh over tasks."""

    dataset: Dataset
    train: ClassSource
    prepare: Prepare
    mesh: Mesh


def make_lab(dataset: Dataset, devices: int | None = None) -> Lab:
    """Put the training split on every device."""
    mesh = task_mesh(devices)
    source = jax.device_put(to_device(dataset.train, dataset.rotations), NamedSharding(mesh, P()))
    return Lab(dataset, source, standardise(dataset), mesh)


def split_source(lab: Lab, name: str) -> ClassSource:
    """The split `train`, `valid` or `test` on every device."""
    if name == "train":
        return lab.train
    source = to_device(getattr(lab.dataset, name), lab.dataset.rotations)
    return jax.device_put(source, NamedSharding(lab.mesh, P()))


def training_sampler(config: Config, lab: Lab, supervised: bool) -> Sample:
    """What draws a training batch: episodes of the training classes, or labelled images of all of them."""
    augment = augmentation(config.augment)
    if supervised:
        return batch_sampler(config.batch_size // config.meta_batch, lab.prepare, augment)
    shape = (config.train_ways, config.train_shots, config.train_queries)
    check(lab.dataset.train, f"{lab.dataset.name}'s training split", *shape, lab.dataset.rotations)
    return task_sampler(int(np.max(lab.dataset.train.counts)), *shape, lab.prepare, augment)


def make_validate(config: Config, method: Method, lab: Lab) -> Callable[[PyTree], Result]:
    """`meta -> Result` on the validation split's episodes, under the normalisation of training."""
    shape = (config.ways, config.shots, config.queries)
    check(lab.dataset.valid, f"{lab.dataset.name}'s validation split", *shape, lab.dataset.rotations)
    source = split_source(lab, "valid")
    learner = method.test(config.norm)
    episodes = draw_episodes(source, config.valid_episodes, *shape, seed=config.eval_seed)
    run = evaluator(learner, source, episodes, lab.prepare, lab.mesh)
    with_moments = moments_measurer(learner, lab.train, lab.prepare)
    return lambda meta: run(with_moments(meta))


def initial_state(config: Config, method: Method, lab: Lab, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step, on every device."""
    x = jnp.zeros((1, *lab.dataset.train.images.shape[1:]))
    state = start(method.train.init, optimizer, jax.random.fold_in(jax.random.key(config.seed), 0), x)
    return jax.device_put(state, NamedSharding(lab.mesh, P()))


def fit(config: Config, method: Method, lab: Lab, workdir: Path) -> tuple[PyTree, Best]:
    """Train to `config.steps`, from the latest checkpoint in workdir if there is one.

    Returns:
      The meta-parameters that did best on validation, and how well and at which step.

    Raises:
      UserError: the loss is not finite, a checkpoint does not fit or cannot be written.
      Interrupted: SIGINT or SIGTERM, after saving.
    """
    optimizer = make_optimizer(config)
    fresh = initial_state(config, method, lab, optimizer)
    checkpoints = Checkpoints(workdir)
    state, best = checkpoints.restore(fresh) or (fresh, Best())
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), fresh.meta)
    if int(state.step) < config.steps:
        trainer = Trainer(config, method, lab, optimizer, checkpoints, Diary(workdir, int(state.step)))
        best = trainer.run(state, best)
    meta = checkpoints.restore_best(like, best.step)
    checkpoints.close()
    return meta, best


def restore(config: Config, method: Method, lab: Lab, workdir: Path) -> tuple[PyTree, Best]:
    """The best meta-parameters so far of the run in workdir, trained to its end or not.

    Raises:
      UserError: there is no checkpoint, or not of this model.
    """
    fresh = initial_state(config, method, lab, make_optimizer(config))
    checkpoints = Checkpoints(workdir)
    found = checkpoints.restore(fresh)
    if found is None or found[1].step == 0:
        raise UserError(f"{workdir} holds no validated checkpoint yet: train first")
    meta = checkpoints.restore_best(fresh.meta, found[1].step)
    checkpoints.close()
    return meta, found[1]


class Trainer:
    """The host's side of the outer loop."""

    def __init__(
        self,
        config: Config,
        method: Method,
        lab: Lab,
        optimizer: optax.GradientTransformation,
        checkpoints: Checkpoints,
        diary: Diary,
    ):
        self.config, self.lab, self.checkpoints, self.diary = config, lab, checkpoints, diary
        sample = training_sampler(config, lab, method.supervised)
        self.chunk = make_chunk(method.train.loss, sample, optimizer, config.meta_batch, lab.mesh)
        self.key = jax.device_put(jax.random.key(config.seed + 1), NamedSharding(lab.mesh, P()))
        self.validate = make_validate(config, method, lab)
        self.rate = 0.0  # steps a second, 0 until measured
        self.saved = time.monotonic()

    def run(self, state: TrainState, best: Best) -> Best:
        config = self.config
        step = int(state.step)
        with Interrupt() as interrupt, tqdm(total=config.steps, initial=step, unit="step", mininterval=1) as bar:
            while step < config.steps:
                state, row = self._log_interval(state, interrupt, bar)
                step = int(state.step)
                self.diary.write(step, **row)
                due = step % config.valid_every == 0 or step == config.steps
                if due:
                    best = self._validate(state, best, bar)
                if due or interrupt.signal or time.monotonic() - self.saved > SAVE_SECONDS:
                    self.checkpoints.save(state, best)
                    self.saved = time.monotonic()
                if interrupt.signal and step < config.steps:
                    raise Interrupted(interrupt.signal, f"stopped and saved at step {step} of {config.steps}")
        self.diary.close()
        return best

    def _log_interval(self, state: TrainState, interrupt: Interrupt, bar: tqdm) -> tuple[TrainState, dict]:
        """Train to the next line of the diary, in chunks short enough to answer a signal."""
        step = first = int(state.step)
        goal = min((step // LOG_EVERY + 1) * LOG_EVERY, self.config.steps, self._next_validation(step))
        sums: dict[str, float] = {}
        begin = time.perf_counter()
        while step < goal and not interrupt.signal:
            stop = min(goal, step + max(1, int(self.rate * CHUNK_SECONDS)))
            started = time.perf_counter()
            state, progress = self.chunk(state, self.key, self.lab.train, jnp.int32(stop))
            progress = jax.device_get(progress)
            self._stop_if_bad(progress, state)
            self.rate = (stop - step) / (time.perf_counter() - started)
            sums = {k: sums.get(k, 0.0) + float(v) for k, v in progress.sums.items()}
            bar.update(stop - step)
            step = stop
        made, seconds = step - first, time.perf_counter() - begin
        row = {k: v / made for k, v in sums.items()} if made else {}
        tasks_per_s = made * self.config.meta_batch / seconds
        bar.set_postfix({k: f"{v:.3f}" for k, v in row.items()} | {"tasks/s": f"{tasks_per_s:.1f}"}, refresh=False)
        return state, row | {"tasks_per_s": tasks_per_s, "seconds": seconds}

    def _next_validation(self, step: int) -> int:
        return (step // self.config.valid_every + 1) * self.config.valid_every

    def _stop_if_bad(self, progress: Progress, state: TrainState) -> None:
        if progress.bad_step < 0:
            return
        good = self.checkpoints.latest_step()
        kept = "no checkpoint was saved yet" if good is None else f"the last good checkpoint is of step {good}"
        raise UserError(
            f"the loss or its gradient is not finite at step {int(progress.bad_step)}; {kept} "
            f"({self.checkpoints.root}): try a smaller --lr or --inner_lr in a new --workdir"
        )

    def _validate(self, state: TrainState, best: Best, bar: tqdm) -> Best:
        step, result = int(state.step), self.validate(state.meta)
        self.diary.write(step, valid_accuracy=result.accuracy, valid_ci95=result.ci95, valid_loss=result.loss)
        bar.write(f"step {step}: validation accuracy {100 * result.accuracy:.2f} ± {100 * result.ci95:.2f} %")
        if result.accuracy <= best.accuracy:
            return best
        self.checkpoints.save_best(step, state.meta)
        return Best(result.accuracy, step)
