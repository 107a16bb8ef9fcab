"""Ways of ours to train, one beside the other in one process."""

import time

import jax
import jax.numpy as jnp

from benchmarks._lib.lab import training
from benchmarks._lib.program import FLAGS
from benchmarks._lib.work import Work


class Racer:
    """Training on so many devices [all that share out the tasks evenly], from one source."""

    def __init__(self, work: Work, devices: int | None = None, stream: bool = False):
        assembled = training(work, devices, stream)
        self.chunk = assembled.chunk
        self.state = assembled.state()
        self.key = assembled.key()
        self.supply = assembled.supply(self.key)

    def turn(self, steps: int) -> float:
        """Milliseconds a step of so many more."""
        begin = time.perf_counter()
        step = int(self.state.step)
        goal = step + steps
        while step < goal:
            stop = self.supply.end(step, goal)
            source = self.supply.at(step)
            self.state, _ = self.chunk(self.state, self.key, source, jnp.int32(stop))
            step = stop
        jax.block_until_ready(self.state)
        return 1e3 * (time.perf_counter() - begin) / steps

    def close(self) -> None:
        """Stop gathering images."""
        self.supply.close()


def race(racers: dict[str, Racer]) -> dict[str, list[float]]:
    """Milliseconds a step, of every racer in each of --rounds turns.

    A turn is of --steps steps, or of as many as fit --seconds.
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
