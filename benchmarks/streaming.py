"""Training from images on the host beside training from images on the device: `python -m benchmarks.streaming`.

Both are ours, in one process, with the same keys: they train on the same tasks, and end with the same weights to the
bit, or it is an error. A row's time is a step's from the host; the device's stands as a peer. BENCHMARK_IMAGES names a
file to stream from, [C,M,H,W,Ch] uint8; without one the images lie in memory.
"""

import time

import jax
import jax.numpy as jnp
from absl import flags

from benchmarks.contenders import OURS
from benchmarks.measure import Found, times
from benchmarks.ours import config_of, lab_of, training
from benchmarks.program import FLAGS, machine, pending, run, sized
from benchmarks.records import add_row
from benchmarks.work import Work
from metalearn.errors import UserError
from metalearn.lab import training_sampler
from metalearn.runtime import configure
from metalearn.stream import Stream

DEVICE = "images on the device"


class Racer:
    """Training from one kind of source."""

    def __init__(self, work: Work, stream: bool):
        self.lab = lab_of(work, stream=stream)
        self.chunk, self.state, self.key = training(work, self.lab)
        sampler = training_sampler(config_of(work), self.lab, False)
        self.stream = Stream(sampler, self.lab.train, self.key, work.tasks, self.lab.mesh) if stream else None

    def turn(self, steps: int) -> float:
        """Milliseconds a step of so many more."""
        begin, step = time.perf_counter(), int(self.state.step)
        goal = step + steps
        while step < goal:
            stop = goal if self.stream is None else min(goal, self.stream.end(step))
            source = self.lab.train if self.stream is None else self.stream.at(step)
            self.state, _ = self.chunk(self.state, self.key, source, jnp.int32(stop))
            step = stop
        jax.block_until_ready(self.state)
        return 1e3 * (time.perf_counter() - begin) / steps

    def close(self) -> None:
        if self.stream is not None:
            self.stream.close()


def measure(work: Work) -> None:
    """One row.

    Raises:
      UserError: the weights differ.
    """
    started = pending("streaming", work)
    if started is None:
        return
    path, row = started
    racers = {OURS: Racer(work, stream=True), DEVICE: Racer(work, stream=False)}
    try:
        for racer in racers.values():
            racer.turn(1)  # compiles
        slowest = max(racer.turn(3) for racer in racers.values())
        steps = FLAGS.steps or max(1, int(1e3 * FLAGS.seconds / slowest))
        ms: dict[str, list[float]] = {name: [] for name in racers}
        for _ in range(FLAGS.rounds):
            for name, racer in racers.items():
                ms[name].append(racer.turn(steps))
    finally:
        for racer in racers.values():
            racer.close()
    row |= times(Found(ms, {}, {}, None)) | {"missing": {}, "rounds": FLAGS.rounds}
    print(f"  from the host {row['ours_ms']} ms, from the device {row['peers'][DEVICE]} ms", flush=True)
    add_row(path, row)
    ours, theirs = (racer.state.meta for racer in racers.values())
    if not jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), ours, theirs)):
        raise UserError("weights trained from the host differ from those trained from the device")


def main() -> None:
    """Both methods, with every number of tasks."""
    tasks = FLAGS.tasks or (["4", "32"] if machine().accelerated else ["4"])
    configure(min(map(int, tasks)), "float32")
    for work in sized(Work(method=method, tasks=int(t)) for method in ("protonet", "maml") for t in tasks):
        measure(work)


if __name__ == "__main__":
    flags.DEFINE_list("tasks", None, "tasks a step [4; on an accelerator 4,32]")
    run(main)
