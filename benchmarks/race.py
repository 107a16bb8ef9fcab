"""Ways of ours to train, one beside the other in one process."""

import time

import jax
import jax.numpy as jnp

from benchmarks.ours import config_of, lab_of, training
from benchmarks.program import FLAGS
from benchmarks.work import Work
from metalearn.training.assemble import training_sampler
from metalearn.training.stream import Stream


class Racer:
    """Training on so many devices [as many as share out the tasks evenly], from one kind of
    source.
    """

    def __init__(self, work: Work, devices: int | None = None, stream: bool = False):
        self.lab = lab_of(work, devices=devices, stream=stream)
        self.chunk, self.state, self.key = training(work, self.lab)
        sampler = training_sampler(config_of(work), self.lab, False)
        self.stream = (
            Stream(sampler, self.lab.train, self.key, work.tasks, self.lab.mesh) if stream else None
        )

    def turn(self, steps: int) -> float:
        """Milliseconds a step of so many more."""
        begin = time.perf_counter()
        step = int(self.state.step)
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


def race(racers: dict[str, Racer]) -> dict[str, list[float]]:
    """Milliseconds a step, of every racer in each of --rounds turns, of --steps steps or as many as
    fit --seconds.
    """
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
    return ms
