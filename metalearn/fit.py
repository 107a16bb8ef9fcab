"""Training one run to its end: chunks, validation, checkpoints, resume."""

import sys
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from metalearn.base import PyTree
from metalearn.checkpoint import Best, Checkpoints
from metalearn.config import Config
from metalearn.errors import Interrupted, UserError
from metalearn.hosts import agreed, by_word_of_first, first, on_all
from metalearn.initial import begin, initial_state
from metalearn.lab import Lab, make_validate, training_sampler
from metalearn.methods import Method
from metalearn.metrics import Diary, NoDiary
from metalearn.optimizers import make_optimizer
from metalearn.runtime import Interrupt, device_name, peak_memory_mb
from metalearn.stream import Stream
from metalearn.teacher import with_teacher
from metalearn.train import Progress, Sample, TrainState, make_chunk, no_sums

LOG_EVERY = 100  # steps a row of metrics.jsonl
SAVE_SECONDS = 60.0  # how much a kill may lose
CHUNK_SECONDS = 2.0  # how long Ctrl-C may have to wait


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
    with closing(Checkpoints(workdir, clean=True)) as checkpoints:
        state, best = checkpoints.restore(fresh) or (begin(config, fresh), Best())
        if first():
            print(headline(config, lab, workdir, int(state.step)), flush=True)
        like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), fresh.meta)
        if int(state.step) < config.steps:
            with closing(Diary(workdir, int(state.step)) if first() else NoDiary()) as diary:
                with closing(Trainer(config, method, lab, optimizer, checkpoints, diary)) as trainer:
                    best = trainer.run(state, best)
        return checkpoints.restore_best(like, best.step), best


def headline(config: Config, lab: Lab, workdir: Path, step: int) -> str:
    """The line a run begins with."""
    if step >= config.steps:
        doing = f"trained to step {config.steps} already"
    else:
        doing = f"training to step {config.steps}" + (f", resumed from step {step}" if step else "")
    return (
        f"{config.method} on {config.dataset}, {config.backbone} ({config.norm}), {config.ways}-way "
        f"{config.shots}-shot: {doing}; {device_name()}, {lab.mesh.size} used; {workdir}"
    )


def restore(config: Config, method: Method, lab: Lab, workdir: Path) -> tuple[PyTree, Best]:
    """The best meta-parameters of the finished run in workdir.

    Raises:
      UserError: there is no checkpoint, not of this model, or the run is not at its end.
    """
    fresh = initial_state(config, method, lab, make_optimizer(config))
    with closing(Checkpoints(workdir)) as checkpoints:
        found = checkpoints.restore(fresh)
        step = 0 if found is None else int(found[0].step)
        if found is None or step < config.steps:
            raise UserError(
                f"{workdir} is trained to step {step} of {config.steps}: run its training command again to finish it"
            )
        return checkpoints.restore_best(fresh.meta, found[1].step), found[1]


class Interval(NamedTuple):
    """The row of the diary that training is at: its steps so far begin after `first`."""

    first: int
    sums: dict[str, np.float32]
    seconds: float = 0.0


class Agreed(NamedTuple):
    """A signal to any of the processes (0: none), whether it is time to save, seconds of the slowest one's chunk."""

    signal: int
    save_due: bool
    seconds: float


class Trainer:
    """The host's side of the outer loop."""

    def __init__(
        self,
        config: Config,
        method: Method,
        lab: Lab,
        optimizer: optax.GradientTransformation,
        checkpoints: Checkpoints,
        diary: Diary | NoDiary,
    ):
        self.config, self.lab, self.checkpoints, self.diary = config, lab, checkpoints, diary
        self.loss, self.key = method.train.loss, on_all(jax.random.key(config.seed + 1), lab.mesh)
        sampler = training_sampler(config, lab, method.supervised)
        self.split: PyTree = lab.train
        self.stream: Stream | None = None
        self.sample: Sample = sampler
        if lab.streamed:
            self.sample = sampler.make
            self.stream = Stream(sampler, lab.train, self.key, config.meta_batch, lab.mesh)
        if config.teacher:
            self.sample, self.split = with_teacher(config, lab, sampler)
        shape = (optimizer, config.meta_batch, lab.mesh, lab.at_once, lab.streamed)
        self.chunk = make_chunk(self.loss, self.sample, *shape)
        self.validate = make_validate(config, method, lab)
        self.unit, self.batch = ("images", config.batch_size) if method.supervised else ("tasks", config.meta_batch)
        self.rate = 0.0  # steps a second, 0 until measured
        self.saved = time.monotonic()

    def run(self, state: TrainState, best: Best) -> Best:
        """Train to the end, from `state` and what was best before it."""
        config = self.config
        step = int(state.step)
        row = self._begin(state)
        with Interrupt() as interrupt, progress_bar(config.steps, step) as bar:
            while step < config.steps:
                state, row = self._train(state, row, interrupt, bar)
                step = int(state.step)
                due = step % config.valid_every == 0 or step == config.steps
                if due:
                    best = self._validate(state, best, bar)
                stopped, save_due, _ = self._agree(interrupt)  # once: what comes after the save waits for the next
                if due or stopped or save_due:
                    self.checkpoints.save(state, best)
                    self.saved = time.monotonic()
                if step == config.steps:
                    stopped = self._agree(interrupt).signal
                if stopped:
                    raise Interrupted(stopped, f"stopped and saved at step {step} of {config.steps}")
        return best

    def _begin(self, state: TrainState) -> Interval:
        """The row that an earlier process was at, or a new one."""
        names = sorted(no_sums(self.loss, self.sample, state.meta, self.key, self._source(int(state.step))))
        part = self.diary.part
        left = part["sums"] if part is not None else dict.fromkeys(names, 0.0)
        begun, seconds = (part["first"], part["seconds"]) if part is not None else (0, 0.0)
        known, begun, seconds, *sums = by_word_of_first(part is not None, begun, seconds, *(left[k] for k in names))
        if not known:
            return Interval(int(state.step), dict.fromkeys(names, np.float32(0)))
        return Interval(int(begun), dict(zip(names, map(np.float32, sums), strict=True)), seconds)

    def _train(self, state: TrainState, row: Interval, interrupt: Interrupt, bar: tqdm) -> tuple[TrainState, Interval]:
        """Train to the end of the row, or until a signal or the time to save, in chunks short enough to notice."""
        step = int(state.step)
        goal = min((step // LOG_EVERY + 1) * LOG_EVERY, self.config.steps, self._next_validation(step))
        while True:
            stop = min(goal, step + max(1, int(self.rate * CHUNK_SECONDS)))
            if self.stream is not None:
                stop = min(stop, self.stream.end(step))
            begin = time.perf_counter()
            state, progress = self.chunk(state, self.key, self._source(step), jnp.int32(stop), row.sums)
            progress = jax.device_get(progress)
            self._stop_if_bad(progress)
            seconds = time.perf_counter() - begin
            heard = self._agree(interrupt, seconds)
            self.rate = (stop - step) / heard.seconds
            row = Interval(row.first, progress.sums, row.seconds + seconds)
            bar.update(stop - step)
            step = stop
            if step == goal:
                return state, self._write(step, row, bar)
            if heard.signal or heard.save_due:
                self.diary.write_part(step, row.first, {k: float(v) for k, v in row.sums.items()}, row.seconds)
                return state, row

    def _write(self, step: int, row: Interval, bar: tqdm) -> Interval:
        """Write the row; the next one, empty."""
        made = step - row.first
        means = {k: float(v) / made for k, v in row.sums.items()}
        rate = made * self.batch / row.seconds
        times = {f"{self.unit}_per_s": rate, "seconds": row.seconds, "peak_memory_mb": peak_memory_mb()}
        self.diary.write(step, **means, **times)
        bar.set_postfix({k: f"{v:.3f}" for k, v in means.items()} | {f"{self.unit}/s": f"{rate:.1f}"}, refresh=False)
        return Interval(step, dict.fromkeys(row.sums, np.float32(0)))

    def close(self) -> None:
        if self.stream is not None:
            self.stream.close()

    def _source(self, step: int) -> PyTree:
        """What is drawn from: the split, or what is gathered of it for this step and some more."""
        return self.split if self.stream is None else self.stream.at(step)

    def _agree(self, interrupt: Interrupt, seconds: float = 0.0) -> Agreed:
        """What this process has heard and seen, and the others."""
        heard, due, seconds = agreed(interrupt.signal, time.monotonic() - self.saved > SAVE_SECONDS, seconds)
        return Agreed(int(heard), bool(due), seconds)

    def _next_validation(self, step: int) -> int:
        return (step // self.config.valid_every + 1) * self.config.valid_every

    def _stop_if_bad(self, progress: Progress) -> None:
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
        if first():
            bar.write(f"step {step}: validation accuracy {100 * result.accuracy:.2f} ± {100 * result.ci95:.2f} %")
        if result.accuracy <= best.accuracy:
            return best
        self.checkpoints.save_best(step, state.meta)
        return Best(result.accuracy, step)


def progress_bar(steps: int, step: int) -> tqdm:
    """A bar with the time left; in a log file, where every state of it stays, a state every half minute."""
    seconds = 1 if sys.stderr.isatty() else 30
    quiet = not first()
    return tqdm(
        total=steps, initial=step, unit="step", mininterval=seconds, maxinterval=max(10, seconds), disable=quiet
    )
