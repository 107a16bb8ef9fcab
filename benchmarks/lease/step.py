"""Compiles a training step for a GPU that is not here.

`python -m benchmarks.lease.step --method=maml` prints how many kernels a step runs and how much
temporary memory it takes, and leaves the HLO in --hlo. Flags as in the experiments; the source is
planned, not read: --side, --channels, --classes and --class_images (CIFAR-FS's unless given).
--xla=NAME=VALUE,... sets XLA's options.

Needs a JAX with its plugin for CUDA, but no GPU and no driver; see README.md here. Times are not to
be had so, nor what autotuning would choose.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")  # there is no driver to ask

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from benchmarks.lease.kernels import summary
from experiments._cli.flags import FLAGS, config_from_flags, define
from experiments._cli.program import start
from metalearn.config import Config
from metalearn.data.inputs import inputs_of
from metalearn.data.source import Dataset, Split
from metalearn.learners.method import make_method
from metalearn.learners.registry import GRADIENT, METHODS
from metalearn.ops.optimizers import make_optimizer
from metalearn.runtime import configure
from metalearn.training.assemble import Lab, training_sampler
from metalearn.training.step import EACH, TrainState, make_chunk
from metalearn.training.step import start as start_state
from metalearn.types import ClassSource, PyTree

HERE = Path(__file__).resolve().parent


def planned(classes: int, class_images: int, side: int, channels: int) -> Dataset:
    """A dataset of so many classes, whose pixels take no memory."""
    shape = (classes * class_images, side, side, channels)
    images = np.broadcast_to(np.zeros((), np.uint8), shape)
    names = tuple(f"class {i}" for i in range(classes))
    split = Split(images, np.full(classes, class_images, np.int32), names)
    half = np.full(channels, 0.5, np.float32)
    return Dataset("planned", split, split, split, half, half)


def lab_of(dataset: Dataset, mesh: Mesh) -> Lab:
    """The planned dataset on the devices of the mesh."""
    of: Any = jax.ShapeDtypeStruct
    each = of(dataset.train.counts.shape, jnp.int32)
    source = ClassSource(of(dataset.train.images.shape, jnp.uint8), each, each)
    return Lab(dataset, source, inputs_of(dataset), mesh)


def traced(config: Config, lab: Lab, seeds: int) -> tuple[Callable, tuple[PyTree, ...]]:
    """The chunk that `metalearn.training.loop` compiles, and the shapes of what it is called
    with.
    """
    shared = seeds == 1 and config.method not in GRADIENT
    method = make_method(config, len(lab.dataset.train.counts), shared)
    optimizer = make_optimizer(config)
    sample = training_sampler(config, lab, method.supervised)
    chunk = make_chunk(method.train.loss, sample, optimizer, config.meta_batch, lab.mesh)
    key = jax.eval_shape(lambda: jax.random.key(0))
    x = jax.ShapeDtypeStruct((1, *lab.dataset.train.images.shape[1:]), jnp.float32)

    def begin(key: jax.Array, x: jax.Array) -> TrainState:
        return start_state(method.train.init, optimizer, key, x)

    if seeds == 1:
        state = jax.eval_shape(begin, key, x)
    else:
        key = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), seeds))
        state = jax.eval_shape(jax.vmap(begin, (0, None), EACH), key, x)
    return chunk, (state, key, lab.train, jax.ShapeDtypeStruct((), jnp.int32))


def device_mesh(target: Path) -> Mesh:
    """A mesh of the one device that the file describes."""
    described = topologies.get_topology_desc(
        "planned",
        "cuda",
        target_config=target.read_text(),
        topology="1x1x1",
    )
    return Mesh(np.array(described.devices), ("tasks",), axis_types=(AxisType.Auto,))


def placed(shapes: PyTree, mesh: Mesh) -> PyTree:
    """The shapes, of arrays that lie on the device."""
    where = NamedSharding(mesh, PartitionSpec())

    def place(x: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where)

    return jax.tree.map(place, shapes)


def main() -> None:
    """Compile, count, print."""
    config = config_from_flags()
    config.check()
    configure(1, config.precision)
    jax.default_backend = lambda: "gpu"  # what is traced takes the forms for it
    mesh = device_mesh(Path(FLAGS.target))
    dataset = planned(FLAGS.classes, FLAGS.class_images, FLAGS.side, FLAGS.channels)
    chunk, shapes = traced(config, lab_of(dataset, mesh), FLAGS.seeds)
    lowered: Any = chunk.lower(*placed(shapes, mesh))  # type: ignore[attr-defined]
    options = {"xla_gpu_autotune_level": "0"} | dict(o.split("=", 1) for o in FLAGS.xla)
    begin = time.perf_counter()
    compiled = lowered.compile(compiler_options=options)
    seconds = time.perf_counter() - begin
    text = compiled.as_text()
    path = Path(FLAGS.hlo) / f"{config.method}-{config.backbone}-{config.precision}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    mebibytes = compiled.memory_analysis().temp_size_in_bytes >> 20
    print(f"{path}: {mebibytes} MiB of temporaries, compiled in {seconds:.0f} s")
    print(summary(text))


if __name__ == "__main__":
    define("maml", tuple(METHODS))
    flags.DEFINE_string("target", str(HERE / "h100.txtpb"), "what XLA is told of the GPU")
    flags.DEFINE_string("hlo", "runs/hlo", "folder of the compiled programs, as text")
    flags.DEFINE_list("xla", [], "options of XLA, NAME=VALUE each")
    flags.DEFINE_integer("side", 32, "side of the images in pixels", lower_bound=1)
    flags.DEFINE_integer("channels", 3, "of the images", lower_bound=1)
    flags.DEFINE_integer("classes", 64, "classes of the source", lower_bound=1)
    flags.DEFINE_integer("class_images", 600, "images of each class", lower_bound=1)
    start(main)
