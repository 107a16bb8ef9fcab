"""Training runs to their end: chunks, validation, checkpoints, resume."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from metalearn.errors import Interrupted
from metalearn.parallel import first, max_over_processes, replicate
from metalearn.runtime import Interrupt, compiled
from metalearn.training.lab import Lab
from metalearn.training.member import (
    Interval,
    Member,
    not_finite,
    open_member,
    open_row,
    write_part,
    write_row,
)
from metalearn.training.plan import Plan, refreshed
from metalearn.training.progress import progress_bar
from metalearn.training.state import Run
from metalearn.training.step import Progress, TrainState, apart, stacked, together, unstacked
from metalearn.training.trained import UNKNOWN, Best, Trained, is_over

LOG_EVERY = 100  # steps a row of metrics.jsonl
SAVE_SECONDS = 60.0  # how much a kill may lose
CHUNK_SECONDS = 2.0  # how long Ctrl-C may have to wait


def train(runs: Sequence[Run], plan: Plan) -> list[Trained]:
    """Train each run to its end, from the latest checkpoint in its folder if there is one.

    The runs differ in their seeds alone, and those at the same step are trained as one program; one
    that is behind another is first brought up to its step. With no steps the initial weights, or
    those of the body that the run begins from, are validated and saved.

    Returns:
      For each run what did best on validation.

    Raises:
      UserError: the loss is not finite, a checkpoint does not fit or cannot be written.
      Interrupted: SIGINT or SIGTERM, after saving.
    """
    config = runs[0].config
    with ExitStack() as files:
        members = [open_member(run, plan, files) for run in runs]
        untrained = [member for member in members if member.best == Best() and not member.steps]
        if untrained:
            with closing(Trainer(untrained, plan)) as trainer:
                trainer.validate_untrained()
        going = [member for member in members if not is_over(config, member.step, member.best)]
        steps = {member.step for member in going} | {config.steps}
        for here, there in pairwise(sorted(steps) if going else ()):
            behind = [member for member in going if member.step <= here]
            with closing(Trainer(behind, plan)) as trainer:
                trainer.run(there)
        found = [member.checkpoints.restore_best(member.best) for member in members]
        return [placed(trained, plan.lab) for trained in found]


def placed(trained: Trained, lab: Lab) -> Trained:
    """What was trained, on every device of the lab."""
    return trained._replace(meta=replicate(trained.meta, lab.mesh))


class Agreed(NamedTuple):
    """What the processes of a run know of each other.

    Attributes:
      signal: to any of them, 0 for none.
      save_due: whether it is time to save.
      seconds: of the slowest one's chunk.
    """

    signal: int
    save_due: bool
    seconds: float


class Trainer:
    """The host's side of the outer loop, for members that are at the same step."""

    def __init__(self, members: Sequence[Member], plan: Plan):
        self.members = members
        self.training = plan.training(members[0].run)
        self.config = self.training.config
        self.key = self.training.key([member.run.config.seed for member in members])
        self.supply = self.training.supply(self.key)
        self.ready = plan.ready(members[0].run)
        self.validate = plan.validate and plan.validate(members[0].run)
        self.refresh = plan.refresh and plan.refresh(members[0].run)
        self.rows: list[Interval] = []
        self.rate = 0.0  # steps a second, 0 until measured
        self.saved = time.monotonic()

    def run(self, until: int) -> None:
        """Train the members until this step, where they are saved."""
        config = self.config
        step = self.members[0].step
        state = together([member.state for member in self.members])
        names = self.training.reported(self.members[0].state.meta, self.supply.at(step))
        self.rows = [open_row(member, names) for member in self.members]
        with Interrupt() as interrupt, progress_bar(config.steps, step) as bar:
            over = False
            while step < until and not over:
                state = self._train(state, until, interrupt, bar)
                step = int(state.step)
                due = step % config.valid_every == 0 or step == config.steps
                if due:
                    self._validate(state, bar)
                    state = refreshed(state, len(self.members), self.refresh)
                over = all(is_over(config, step, member.best) for member in self.members)
                # Once: what comes after the save waits for the next
                stopped, save_due, _ = self._agree(interrupt)
                if due or stopped or save_due or step == until:
                    self._save(state)
                # A signal of the time of the last save would be lost with what hears it
                if over or step == until:
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

    def _train(self, state: TrainState, until: int, interrupt: Interrupt, bar: tqdm) -> TrainState:
        """Train to the end of the row, or until a signal or the time to save.

        Chunks are short enough for a signal to be noticed.
        """
        chunk = self.training.chunk
        step = int(state.step)
        goal = min(
            (step // LOG_EVERY + 1) * LOG_EVERY, self.config.steps, self._next_validation(step)
        )
        while True:
            stop = min(goal, until, step + max(1, int(self.rate * CHUNK_SECONDS)))
            stop = self.supply.end(step, stop)
            begin = time.perf_counter()
            source = self.supply.at(step)
            # Of the row so far: float32 sums depend on their order, so a row has to be one sum,
            # wherever its chunks end or the run is resumed
            sums = stacked([row.sums for row in self.rows])
            if not self.rate:
                state = compiled(chunk, state, self.key, source, jnp.int32(step), sums)
            state, progress = chunk(state, self.key, source, jnp.int32(stop), sums)
            # Waits for the chunk; the state stays on the device
            progress = jax.device_get(progress)
            seconds = time.perf_counter() - begin
            found = unstacked(progress.sums, len(self.rows))
            self.rows = [
                Interval(r.first, s, r.seconds + seconds)
                for r, s in zip(self.rows, found, strict=True)
            ]
            self._stop_if_bad(state, progress)
            agreed = self._agree(interrupt, seconds)
            self.rate = (stop - step) / agreed.seconds
            bar.update(stop - step)
            step = stop
            if step == goal:
                self._write(step, bar)
                return state
            if agreed.signal or agreed.save_due or step == until:
                for member, row in zip(self.members, self.rows, strict=True):
                    write_part(member, step, row)
                return state

    def _write(self, step: int, bar: tqdm) -> None:
        """Write the rows and begin the next ones."""
        for member, row in zip(self.members, self.rows, strict=True):
            shown = write_row(member, step, row, self.training.batch)
        bar.set_postfix(shown, refresh=False)
        self.rows = [Interval(step, dict.fromkeys(row.sums, np.float32(0))) for row in self.rows]

    def close(self) -> None:
        """Stop gathering images."""
        self.supply.close()

    def _agree(self, interrupt: Interrupt, seconds: float = 0.0) -> Agreed:
        """What this process knows, and the others: all have to stop or save at the same step."""
        number, due, seconds = max_over_processes(
            interrupt.signal, time.monotonic() - self.saved > SAVE_SECONDS, seconds
        )
        return Agreed(int(number), bool(due), seconds)

    def _next_validation(self, step: int) -> int:
        return (step // self.config.valid_every + 1) * self.config.valid_every

    def _save(self, state: TrainState) -> None:
        for member, its in self._each(state):
            member.checkpoints.save(its, member.best)
            member.state = its
            member.metric_log.saved = int(its.step)
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
                member.metric_log.saved = int(its.step)
        raise not_finite(self.members[int(np.argmax(bad >= 0))], int(bad.max()))

    def _validate(self, state: TrainState, bar: tqdm) -> None:
        for member, its in self._each(state):
            step = int(its.step)
            if self.validate is None:
                self._keep_last(member, its)
                continue
            ready = self.ready(its.meta)
            found = self.validate(step, ready)
            member.metric_log.write(step, **found.logged)
            if first():
                whose = f", seed {member.run.config.seed}" if len(self.members) > 1 else ""
                bar.write(f"step {step}{whose}: {found.said}")
            if found.score > member.best.accuracy:
                member.checkpoints.save_best(step, ready, self.training.lab.inputs)
                member.best = Best(found.score, step)

    def _keep_last(self, member: Member, state: TrainState) -> None:
        """Without validation, the last state is the one to test."""
        step = int(state.step)
        if step == self.config.steps:
            member.checkpoints.save_best(step, self.ready(state.meta), self.training.lab.inputs)
            member.best = Best(UNKNOWN, step)
