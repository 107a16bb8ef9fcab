"""Training runs to their end: chunks, validation, checkpoints, resume."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from metalearn.config import Config
from metalearn.errors import Interrupted, UserError
from metalearn.learners.method import Method
from metalearn.ops.optimizers import make_optimizer
from metalearn.parallel import broadcast_from_first, first, max_over_processes, replicate
from metalearn.runtime import Interrupt, compiled, device_name, peak_memory_mb
from metalearn.training.assemble import (
    Lab,
    make_validate,
    tasks_at_once,
    training_sampler,
    with_running_statistics,
)
from metalearn.training.checkpoint import Best, Checkpoints, Trained
from metalearn.training.distill import with_teacher
from metalearn.training.metric_log import MetricLog, NoMetricLog
from metalearn.training.state import Run, begin, initial_state
from metalearn.training.step import (
    Progress,
    Sample,
    TrainState,
    apart,
    make_chunk,
    no_sums,
    stacked,
    together,
    unstacked,
)
from metalearn.training.stream import Stream
from metalearn.types import PyTree, random_key

LOG_EVERY = 100  # steps a row of metrics.jsonl
SAVE_SECONDS = 60.0  # how much a kill may lose
CHUNK_SECONDS = 2.0  # how long Ctrl-C may have to wait


@dataclass
class Member:
    """A run in training: its files, the state it is at, and what was best before."""

    run: Run
    checkpoints: Checkpoints
    diary: MetricLog | NoMetricLog
    state: TrainState
    best: Best

    @property
    def step(self) -> int:
        return int(self.state.step)

    @property
    def steps(self) -> int:
        return self.run.config.steps


def fit(runs: Sequence[Run], method: Method, lab: Lab) -> list[Trained]:
    """Train each run to `config.steps`, from the latest checkpoint in its folder if there is one.

    The runs differ in their seeds alone, and those at the same step are trained as one program; one
    that is behind another is first brought up to its step. With no steps the initial weights, or
    those of the body that the run begins from, are validated and saved.

    Returns:
      For each run what did best on validation.

    Raises:
      UserError: the loss is not finite, a checkpoint does not fit or cannot be written.
      Interrupted: SIGINT or SIGTERM, after saving.
    """
    optimizer = make_optimizer(runs[0].config)
    with ExitStack() as files:
        members = [open_member(run, method, lab, optimizer, files) for run in runs]
        untrained = [member for member in members if member.best == Best() and not member.steps]
        if untrained:
            with closing(Trainer(untrained, method, lab, optimizer)) as trainer:
                trainer.validate_untrained()
        for here, there in pairwise(
            sorted({member.step for member in members} | {runs[0].config.steps})
        ):
            behind = [member for member in members if member.step <= here]
            with closing(Trainer(behind, method, lab, optimizer)) as trainer:
                trainer.run(there)
        return [placed(member.checkpoints.restore_best(member.best), lab) for member in members]


def placed(trained: Trained, lab: Lab) -> Trained:
    """What was trained, on every device of the lab."""
    return trained._replace(meta=replicate(trained.meta, lab.mesh))


def open_member(
    run: Run, method: Method, lab: Lab, optimizer: optax.GradientTransformation, files: ExitStack
) -> Member:
    """The run where its folder says that it is; its files are closed with `files`."""
    fresh = initial_state(run.config, method, lab, optimizer)
    checkpoints = files.enter_context(closing(Checkpoints(run.workdir, clean=True)))
    state, best = checkpoints.restore(fresh) or (begin(run, fresh), Best())
    step = int(state.step)
    if first():
        print(headline(run.config, lab, run.workdir, step), flush=True)
    writes = first() and step < run.config.steps
    diary = files.enter_context(closing(MetricLog(run.workdir, step) if writes else NoMetricLog()))
    return Member(run, checkpoints, diary, state, best)


def headline(config: Config, lab: Lab, workdir: Path, step: int) -> str:
    """The line a run begins with."""
    if not config.steps:
        doing = "not trained"
    elif step >= config.steps:
        doing = f"trained to step {config.steps} already"
    else:
        doing = f"training to step {config.steps}" + (f", resumed from step {step}" if step else "")
    return (
        f"{config.method} on {config.dataset}, {config.backbone} ({config.norm}), "
        f"{config.ways}-way "
        f"{config.shots}-shot: {doing}; {device_name()}, {lab.mesh.size} used; {workdir}"
    )


class Interval(NamedTuple):
    """The row of the diary that training is at: its steps so far begin after `first`."""

    first: int
    sums: dict[str, np.float32]
    seconds: float = 0.0


class Agreed(NamedTuple):
    """A signal to any of the processes (0: none), whether it is time to save, seconds of the
    slowest one's chunk.
    """

    signal: int
    save_due: bool
    seconds: float


class Trainer:
    """The host's side of the outer loop, for members that are at the same step."""

    def __init__(
        self,
        members: Sequence[Member],
        method: Method,
        lab: Lab,
        optimizer: optax.GradientTransformation,
    ):
        self.members = members
        self.config = members[0].run.config
        self.lab = lab
        config = self.config
        self.loss = method.train.loss
        keys = [random_key(member.run.config.seed + 1) for member in members]
        self.key = stacked([replicate(key, lab.mesh) for key in keys])
        sampler = training_sampler(config, lab, method.supervised)
        self.split: PyTree = lab.train
        self.stream: Stream | None = None
        self.sample: Sample = sampler
        if lab.streamed:
            self.sample = sampler.make
            self.stream = Stream(sampler, lab.train, self.key, config.meta_batch, lab.mesh)
        if "teacher" in members[0].run.earlier:
            self.sample, self.split = with_teacher(members[0].run, lab, sampler)
        shape = (
            optimizer,
            config.meta_batch,
            lab.mesh,
            tasks_at_once(config, lab.at_once),
            lab.streamed,
        )
        self.chunk = make_chunk(self.loss, self.sample, *shape)
        self.ready = with_running_statistics(config, method, lab)
        self.validate = make_validate(config, method, lab)
        self.unit, self.batch = (
            ("images", config.batch_size) if method.supervised else ("tasks", config.meta_batch)
        )
        self.rows: list[Interval] = []
        self.rate = 0.0  # steps a second, 0 until measured
        self.saved = time.monotonic()

    def run(self, until: int) -> None:
        """Train the members until this step, where they are saved."""
        config = self.config
        step = self.members[0].step
        state = together([member.state for member in self.members])
        self.rows = [self._begin(member) for member in self.members]
        with Interrupt() as interrupt, progress_bar(config.steps, step) as bar:
            while step < until:
                state = self._train(state, until, interrupt, bar)
                step = int(state.step)
                due = step % config.valid_every == 0 or step == config.steps
                if due:
                    self._validate(state, bar)
                # Once: what comes after the save waits for the next
                stopped, save_due, _ = self._agree(interrupt)
                if due or stopped or save_due or step == until:
                    self._save(state)
                if step == config.steps:
                    stopped = self._agree(interrupt).signal
                if stopped:
                    raise Interrupted(
                        stopped, f"stopped and saved at step {step} of {config.steps}"
                    )

    def validate_untrained(self) -> None:
        """Validate and save the members as they are."""
        state = together([member.state for member in self.members])
        with progress_bar(0, 0) as bar:
            self._validate(state, bar)
        self._save(state)

    def _begin(self, member: Member) -> Interval:
        """The row that the member was left at, or a new one."""
        key = random_key(0)
        names = sorted(
            no_sums(self.loss, self.sample, member.state.meta, key, self._source(member.step))
        )
        part = member.diary.part
        if part is not None and not part["sums"].keys() >= set(names):
            part = None  # another program's
        left = part["sums"] if part is not None else dict.fromkeys(names, 0.0)
        begun, seconds = (part["first"], part["seconds"]) if part is not None else (0, 0.0)
        known, begun, seconds, *sums = broadcast_from_first(
            part is not None, begun, seconds, *(left[k] for k in names)
        )
        if not known:
            return Interval(member.step, dict.fromkeys(names, np.float32(0)))
        return Interval(int(begun), dict(zip(names, map(np.float32, sums), strict=True)), seconds)

    def _train(self, state: TrainState, until: int, interrupt: Interrupt, bar: tqdm) -> TrainState:
        """Train to the end of the row, or until a signal or the time to save, in chunks short
        enough to notice.
        """
        step = int(state.step)
        goal = min(
            (step // LOG_EVERY + 1) * LOG_EVERY, self.config.steps, self._next_validation(step)
        )
        while True:
            stop = min(goal, until, step + max(1, int(self.rate * CHUNK_SECONDS)))
            if self.stream is not None:
                stop = min(stop, self.stream.end(step))
            begin = time.perf_counter()
            sums = stacked([row.sums for row in self.rows])
            if not self.rate:
                state = compiled(
                    self.chunk, state, self.key, self._source(step), jnp.int32(step), sums
                )
            state, progress = self.chunk(state, self.key, self._source(step), jnp.int32(stop), sums)
            progress = jax.device_get(progress)
            seconds = time.perf_counter() - begin
            found = unstacked(progress.sums, len(self.rows))
            self.rows = [
                Interval(r.first, s, r.seconds + seconds)
                for r, s in zip(self.rows, found, strict=True)
            ]
            self._stop_if_bad(state, progress)
            heard = self._agree(interrupt, seconds)
            self.rate = (stop - step) / heard.seconds
            bar.update(stop - step)
            step = stop
            if step == goal:
                self._write(step, bar)
                return state
            if heard.signal or heard.save_due or step == until:
                for member, row in zip(self.members, self.rows, strict=True):
                    write_part(member, step, row)
                return state

    def _write(self, step: int, bar: tqdm) -> None:
        """Write the rows; the next ones, empty."""
        for member, row in zip(self.members, self.rows, strict=True):
            made = step - row.first
            means = {k: float(v) / made for k, v in row.sums.items()}
            rate = made * self.batch / row.seconds
            times = {
                f"{self.unit}_per_s": rate,
                "seconds": row.seconds,
                "peak_memory_mb": peak_memory_mb(),
            }
            member.diary.write(step, **means, **times)
        bar.set_postfix(
            {k: f"{v:.3f}" for k, v in means.items()} | {f"{self.unit}/s": f"{rate:.1f}"},
            refresh=False,
        )
        self.rows = [Interval(step, dict.fromkeys(row.sums, np.float32(0))) for row in self.rows]

    def close(self) -> None:
        if self.stream is not None:
            self.stream.close()

    def _source(self, step: int) -> PyTree:
        """What is drawn from: the split, or what is gathered of it for this step and some more."""
        return self.split if self.stream is None else self.stream.at(step)

    def _agree(self, interrupt: Interrupt, seconds: float = 0.0) -> Agreed:
        """What this process has heard and seen, and the others."""
        heard, due, seconds = max_over_processes(
            interrupt.signal, time.monotonic() - self.saved > SAVE_SECONDS, seconds
        )
        return Agreed(int(heard), bool(due), seconds)

    def _next_validation(self, step: int) -> int:
        return (step // self.config.valid_every + 1) * self.config.valid_every

    def _save(self, state: TrainState) -> None:
        for member, its in self._each(state):
            member.checkpoints.save(its, member.best)
            member.state = its
            member.diary.saved = int(its.step)
        self.saved = time.monotonic()

    def _each(self, state: TrainState) -> Iterator[tuple[Member, TrainState]]:
        return zip(self.members, apart(state, len(self.members)), strict=True)

    def _stop_if_bad(self, state: TrainState, progress: Progress) -> None:
        """Stop for the first member whose loss is not finite; the finite ones are saved."""
        bad = np.atleast_1d(progress.bad_step)
        if (bad < 0).all():
            return
        for (member, its), row, finite in zip(self._each(state), self.rows, bad < 0, strict=True):
            if finite:
                write_part(member, int(its.step), row)
                member.checkpoints.save(its, member.best)
                member.diary.saved = int(its.step)
        checkpoints = self.members[int(np.argmax(bad >= 0))].checkpoints
        good = checkpoints.latest_step()
        kept = (
            "no checkpoint was saved yet"
            if good is None
            else f"the last good checkpoint is of step {good}"
        )
        raise UserError(
            f"the loss or its gradient is not finite at step {bad.max()}; {kept} "
            f"({checkpoints.root}): try a smaller --lr or --inner_lr in a new --workdir"
        )

    def _validate(self, state: TrainState, bar: tqdm) -> None:
        for member, its in self._each(state):
            step = int(its.step)
            ready = self.ready(its.meta)
            result = self.validate(ready)
            member.diary.write(
                step, valid_accuracy=result.accuracy, valid_ci95=result.ci95, valid_loss=result.loss
            )
            if first():
                whose = f", seed {member.run.config.seed}" if len(self.members) > 1 else ""
                found = f"{100 * result.accuracy:.2f} ± {100 * result.ci95:.2f} %"
                bar.write(f"step {step}{whose}: validation accuracy {found}")
            if result.accuracy > member.best.accuracy:
                member.checkpoints.save_best(step, ready, self.lab.inputs)
                member.best = Best(result.accuracy, step)


def write_part(member: Member, step: int, row: Interval) -> None:
    """Leave in the member's diary what is known of its row."""
    member.diary.write_part(
        step, row.first, {k: float(v) for k, v in row.sums.items()}, row.seconds
    )


def progress_bar(steps: int, step: int) -> tqdm:
    """A bar with the time left; in a log file, where every state of it stays, a state every half
    minute.
    """
    quiet = sys.stderr is None or not first()
    seconds = 1 if not quiet and sys.stderr.isatty() else 30
    return tqdm(
        total=steps,
        initial=step,
        unit="step",
        mininterval=seconds,
        maxinterval=max(10, seconds),
        disable=quiet,
    )
