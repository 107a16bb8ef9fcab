"""What a step of training needs, found by compiling it without data: memory a task, bytes from the host and to reduce.

`python -m benchmarks.plan --method=maml --side=84 --ways=5 --shots=1` prints one JSON line; flags as in
`experiments.maml`, and --side, --classes, --class_images of the source that is planned. Memory is XLA's own count of
temporary buffers for the platform it compiles for: run it where the training is to run.
"""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from benchmarks.work import CHANNELS
from experiments.flags import FLAGS, config_from_flags, define
from experiments.program import start
from metalearn.base import ClassSource
from metalearn.data.episodes import task_sampler
from metalearn.methods import make_method
from metalearn.optimizers import make_optimizer
from metalearn.runtime import device_name
from metalearn.train import make_chunk, task_mesh
from metalearn.train import start as start_state


def main() -> None:
    """Compile a step for two sizes of what a device works on at once; the difference is a task's."""
    config = config_from_flags()
    method, optimizer = make_method(config, FLAGS.classes), make_optimizer(config)
    shape = (config.train_ways, config.train_shots, config.train_queries)
    image = (FLAGS.side, FLAGS.side, CHANNELS)
    of = jax.ShapeDtypeStruct
    split = (of((FLAGS.classes * FLAGS.class_images, *image), jnp.uint8), *[of((FLAGS.classes,), jnp.int32)] * 2)
    source = jax.eval_shape(ClassSource, *split)
    sampler = task_sampler(FLAGS.class_images, *shape, lambda x: x.astype(jnp.float32) / 255)
    key = jax.eval_shape(lambda: jax.random.key(0))
    blank = of((1, *image), jnp.float32)
    state = jax.eval_shape(lambda k, x: start_state(method.train.init, optimizer, k, x), key, blank)

    def temporary(tasks: int) -> int:
        chunk: Any = make_chunk(method.train.loss, sampler, optimizer, tasks, task_mesh(1))
        compiled = chunk.lower(state, key, source, of((), jnp.int32)).compile()
        return int(compiled.memory_analysis().temp_size_in_bytes)

    one, three = temporary(1), temporary(3)
    parameters = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(state.meta))
    images = config.train_ways * (config.train_shots + config.train_queries)
    found = {
        "method": config.method,
        "backbone": config.backbone,
        "side": FLAGS.side,
        "images_a_task": images,
        "parameters": parameters,
        "state_bytes": sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)),
        "all_reduce_bytes_a_step": 4 * parameters,
        "host_bytes_a_task": images * int(np.prod(image)),
        "source_bytes": int(np.prod(source.images.shape)),
        "memory_bytes_a_task": (three - one) // 2,
        "memory_bytes_besides": one - (three - one) // 2,
        "compiled_for": device_name(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    define("maml", ("maml", "fomaml", "anil", "boil", "protonet"))
    flags.DEFINE_integer("side", 84, "side of the images in pixels")
    flags.DEFINE_integer("classes", 351, "classes of the source")
    flags.DEFINE_integer("class_images", 1278, "images of each class")
    start(main)
