"""A run in training: its files, the state it is at, and the row of its metric log."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from metalearn.errors import UserError
from metalearn.parallel import broadcast_from_first, first
from metalearn.runtime import peak_memory_mb
from metalearn.training.checkpoint import Checkpoints
from metalearn.training.metric_log import MetricLog, NoMetricLog
from metalearn.training.plan import Plan
from metalearn.training.state import Run
from metalearn.training.step import TrainState
from metalearn.training.trained import Best, is_over


@dataclass
class Member:
    """A run in training.

    Attributes:
      run: its settings and its folder.
      checkpoints: of that folder.
      metric_log: of that folder; of a process that leaves writing to another, none.
      state: the state that it was last saved at, or that it begins with.
      best: how well it did on validation so far, and at which step.
    """

    run: Run
    checkpoints: Checkpoints
    metric_log: MetricLog | NoMetricLog
    state: TrainState
    best: Best

    @property
    def step(self) -> int:
        """The step that it was last saved at, or begins with."""
        return int(self.state.step)

    @property
    def steps(self) -> int:
        """The step that it is to be trained to."""
        return self.run.config.steps


class Interval(NamedTuple):
    """The row of the metric log that training is at.

    Attributes:
      first: the step after which the row begins.
      sums: over the steps so far, of every number whose mean the row reports.
      seconds: that these steps took.
    """

    first: int
    sums: dict[str, np.float32]
    seconds: float = 0.0


def open_member(run: Run, plan: Plan, files: ExitStack) -> Member:
    """The run where its folder says that it is.

    Args:
      run: to be trained.
      plan: of its training.
      files: with which the run's files are closed.
    """
    checkpoints = files.enter_context(closing(Checkpoints(run.workdir, clean=True)))
    fresh = plan.fresh(run)
    state, best = checkpoints.restore(fresh) or (plan.begin(run, fresh), Best())
    step = int(state.step)
    over = is_over(run.config, step, best)
    if first():
        print(plan.headline(run, step, over), flush=True)
    writes = first() and not over
    log = MetricLog(run.workdir, step) if writes else NoMetricLog()
    return Member(run, checkpoints, files.enter_context(closing(log)), state, best)


def open_row(member: Member, names: Sequence[str]) -> Interval:
    """The row that the member was left at, or a new one, of these numbers."""
    part = member.metric_log.part
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


def write_row(member: Member, step: int, row: Interval, batch: tuple[str, int]) -> dict[str, str]:
    """Write the row that ends at a step into the member's metric log.

    Args:
      member: whose row it is.
      step: the last one of the row.
      row: its sums.
      batch: what a step goes through, and how many, as in `Training`.

    Returns:
      What a progress bar shows of it.
    """
    unit, size = batch
    made = step - row.first
    means = {k: float(v) / made for k, v in row.sums.items()}
    rate = made * size / row.seconds
    times = {
        f"{unit}_per_s": rate,
        "seconds": row.seconds,
        "peak_memory_mb": peak_memory_mb(),
    }
    member.metric_log.write(step, **means, **times)
    return {k: f"{v:.3f}" for k, v in means.items()} | {f"{unit}/s": f"{rate:.1f}"}


def write_part(member: Member, step: int, row: Interval) -> None:
    """Leave in the member's metric log what is known of its row."""
    sums = {k: float(v) for k, v in row.sums.items()}
    member.metric_log.write_part(step, row.first, sums, row.seconds)


def not_finite(member: Member, step: int) -> UserError:
    """The error for a member whose loss is not finite at a step."""
    good = member.checkpoints.latest_step()
    kept = (
        "no checkpoint was saved yet"
        if good is None
        else f"the last good checkpoint is of step {good}"
    )
    return UserError(
        f"the loss or its gradient is not finite at step {step}; {kept} "
        f"({member.checkpoints.root}): try a smaller --lr or --inner_lr in a new --workdir"
    )
