"""What a step of training needs, found by compiling it without data, on many devices.

`python -m benchmarks.plan --method=maml --side=84 --meta_batch=32 --hosts=2 --devices=4` prints one
JSON line; flags as in `experiments.maml`, where --devices are those of each host (1), and --side,
--classes, --class_images of the source that is planned. Memory is XLA's own count for the platform
that it compiles for: run it where the training is to run.
"""

import dataclasses
import json
import math
from typing import Any, NamedTuple

import jax

from benchmarks._lib.planned import assembled, lab_of, planned, shapes
from benchmarks._lib.work import CHANNELS
from experiments._cli.define import define_flag
from experiments._cli.flags import FLAGS, config_from_flags, define
from experiments._cli.start import start
from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.runtime import configure, device_name
from metalearn.training.parts import tasks_at_once
from metalearn.training.step import TrainState, task_mesh
from metalearn.training.stream import BLOCK_BYTES
from metalearn.types import PyTree, largest_divisor


class Source(NamedTuple):
    """The split that is planned: so many classes of so many images [side,side,3]."""

    classes: int
    class_images: int
    side: int

    @property
    def image(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.side, self.side, CHANNELS


class Compiled(NamedTuple):
    """A step for one device: its state, and XLA's temporary memory for one task and for three."""

    state: TrainState
    one: int
    three: int


def compiled(config: Config, source: Source) -> Compiled:
    """Two compilations; the difference is two tasks'."""
    dataset = planned(source.classes, source.class_images, source.side, CHANNELS)
    lab = lab_of(dataset, task_mesh(1))

    def compile_for(tasks: int) -> tuple[TrainState, int]:
        training = assembled(dataclasses.replace(config, meta_batch=tasks), lab)
        called_with = shapes(training)
        chunk: Any = training.chunk
        made = chunk.lower(*called_with).compile()
        return called_with[0], int(made.memory_analysis().temp_size_in_bytes)

    state, two = compile_for(2)  # not one: a single task is compiled otherwise
    _, four = compile_for(4)
    a_task = (four - two) // 2
    return Compiled(state, two - a_task, four - a_task)


def size(tree: PyTree) -> int:
    """Bytes of the arrays."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def share(meta_batch: int, devices: int, limit: int) -> int:
    """Tasks a device works on at a time: its share of the meta-batch, or fewer.

    Raises:
      UserError: the tasks cannot be shared out evenly.
    """
    if meta_batch % devices:
        raise UserError(
            f"--meta_batch={meta_batch} cannot be shared out to {devices} devices: give a multiple"
        )
    all_of_it = meta_batch // devices
    return largest_divisor(all_of_it, limit or all_of_it)


def plan(
    config: Config, source: Source, step: Compiled, hosts: int, devices: int, at_once: int
) -> dict[str, int]:
    """What a step needs.

    Args:
      config: the settings.
      source: the split.
      step: compiled for one device.
      hosts: how many.
      devices: of all hosts together.
      at_once: tasks that each device works on at a time.
    """
    image = math.prod(source.image)
    images = config.train_ways * (config.train_shots + config.train_queries)
    split = source.classes * source.class_images * image
    a_step = config.meta_batch * images * image
    a_task = (step.three - step.one) // 2
    works = size(step.state) + step.one + (at_once - 1) * a_task
    return {
        "parameters": sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(step.state.meta)),
        "images_a_task": images,
        "state_bytes": size(step.state),
        "memory_bytes_a_task": a_task,
        "memory_bytes_besides": step.one - a_task,
        "source_bytes": split,
        "device_bytes": works + split,
        "device_bytes_streamed": works + 2 * max(BLOCK_BYTES, a_step) // devices,
        "host_bytes_a_step_streamed": a_step // hosts,
        "all_reduce_bytes_a_step": 2 * size(step.state.meta) * (devices - 1) // devices,
    }


def main() -> None:
    """Compile, calculate, print."""
    config = config_from_flags()
    source = Source(FLAGS.classes, FLAGS.class_images, FLAGS.side)
    config.check()
    devices = FLAGS.hosts * (FLAGS.devices or 1)
    configure(1, config.precision)
    at_once = share(config.meta_batch, devices, tasks_at_once(FLAGS.tasks_per_device))
    found = plan(config, source, compiled(config, source), FLAGS.hosts, devices, at_once)
    what = {"method": config.method, "backbone": config.backbone, "meta_batch": config.meta_batch}
    where = {
        "hosts": FLAGS.hosts,
        "devices": devices,
        "tasks_at_once": at_once,
        "compiled_for": device_name(),
    }
    print(json.dumps(what | source._asdict() | where | found))


if __name__ == "__main__":
    define("maml", ("maml", "fomaml", "anil", "boil", "protonet"))
    define_flag("side", 84, "side of the images in pixels", lower_bound=1)
    define_flag("classes", 351, "classes of the source", lower_bound=1)
    define_flag("class_images", 1278, "images of each class", lower_bound=1)
    define_flag("hosts", 1, "hosts that share out the tasks", lower_bound=1)
    start(main)
