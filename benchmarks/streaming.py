"""Training from images on the host beside training from images on the device, in turns, one JSON line each.

`python -m benchmarks.streaming --dataset=cifar_fs --data_dir=...` takes the flags of `experiments.maml` and
`experiments.protonet` (--method=protonet), and --rounds and --round_steps. The same keys: both train on the same tasks.
"""

import json
import time

import jax
import jax.numpy as jnp
from absl import flags

from experiments.flags import FLAGS, config_from_flags, define
from experiments.program import open_lab, start
from metalearn.config import Config
from metalearn.fit import initial_state
from metalearn.hosts import on_all
from metalearn.lab import Lab, make_lab, training_sampler
from metalearn.methods import Method, make_method
from metalearn.optimizers import make_optimizer
from metalearn.runtime import device_name, peak_memory_mb
from metalearn.stream import Stream
from metalearn.train import make_chunk


class Racer:
    """Training from one kind of source."""

    def __init__(self, config: Config, method: Method, lab: Lab):
        self.lab, optimizer = lab, make_optimizer(config)
        sampler = training_sampler(config, lab, method.supervised)
        self.key = on_all(jax.random.key(config.seed + 1), lab.mesh)
        self.stream = Stream(sampler, lab.train, self.key, config.meta_batch, lab.mesh) if lab.streamed else None
        sample = sampler.make if lab.streamed else sampler
        shape = (optimizer, config.meta_batch, lab.mesh, lab.at_once, lab.streamed)
        self.chunk = make_chunk(method.train.loss, sample, *shape)
        self.state = initial_state(config, method, lab, optimizer)

    def steps(self, count: int) -> float:
        """Seconds that so many more steps take."""
        begin, step = time.perf_counter(), int(self.state.step)
        goal = step + count
        while step < goal:
            stop = goal if self.stream is None else min(goal, self.stream.end(step))
            source = self.lab.train if self.stream is None else self.stream.at(step)
            self.state, _ = self.chunk(self.state, self.key, source, jnp.int32(stop))
            step = stop
        jax.block_until_ready(self.state)
        return time.perf_counter() - begin


def main() -> None:
    """Compile both, then time them in turns."""
    config = config_from_flags()
    device = open_lab(config)._replace(stream=False)
    assert not device.streamed, "the split is too large for the device: there is nothing to compare with"
    host = make_lab(device.dataset, device.mesh.size, device.at_once, stream=True)
    method = make_method(config, len(device.dataset.train.counts) * device.dataset.rotations)
    racers = {"device": Racer(config, method, device), "host": Racer(config, method, host)}
    for racer in racers.values():
        racer.steps(1)
    for number in range(FLAGS.rounds):
        for source, racer in racers.items():
            seconds = racer.steps(FLAGS.round_steps)
            told = {"source": source, "round": number, "steps_per_s": round(FLAGS.round_steps / seconds, 2)}
            told |= {"tasks_per_s": round(config.meta_batch * FLAGS.round_steps / seconds, 1)}
            told |= {"method": config.method, "dataset": config.dataset, "device": device_name()}
            print(json.dumps(told | {"peak_memory_mb": peak_memory_mb()}), flush=True)
    same = jax.tree.map(lambda a, b: bool((a == b).all()), racers["device"].state.meta, racers["host"].state.meta)
    print(json.dumps({"same_weights_to_the_bit": all(jax.tree.leaves(same))}))
    racers["host"].stream.close()


if __name__ == "__main__":
    define("maml", ("maml", "fomaml", "anil", "boil", "protonet"))
    flags.DEFINE_integer("rounds", 3, "times that each is timed")
    flags.DEFINE_integer("round_steps", 100, "steps of a round")
    start(main)
