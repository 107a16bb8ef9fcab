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
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")  # there is no driver to ask

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from benchmarks._lib.planned import assembled, lab_of, planned, shapes
from benchmarks.lease.kernels import summary
from experiments._cli.define import define_flag
from experiments._cli.flags import FLAGS, config_from_flags, define
from experiments._cli.start import start
from metalearn.learners.registry import METHODS
from metalearn.runtime import configure
from metalearn.types import PyTree

HERE = Path(__file__).resolve().parent


def device_mesh(target: Path) -> Mesh:
    """A mesh of the one device that the file describes."""
    described = topologies.get_topology_desc(
        "planned",
        "cuda",
        target_config=target.read_text(),
        topology="1x1x1",
    )
    return Mesh(np.array(described.devices), ("tasks",), axis_types=(AxisType.Auto,))


def placed(found: PyTree, mesh: Mesh) -> PyTree:
    """The shapes found, of arrays that lie on the device."""
    where = NamedSharding(mesh, PartitionSpec())

    def place(x: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where)

    return jax.tree.map(place, found)


def main() -> None:
    """Compile, count, print."""
    config = config_from_flags()
    config.check()
    configure(1, config.precision)
    jax.default_backend = lambda: "gpu"  # what is traced takes the forms for it
    mesh = device_mesh(Path(FLAGS.target))
    dataset = planned(FLAGS.classes, FLAGS.class_images, FLAGS.side, FLAGS.channels)
    training = assembled(config, lab_of(dataset, mesh), FLAGS.seeds)
    chunk: Any = training.chunk
    lowered = chunk.lower(*placed(shapes(training, FLAGS.seeds), mesh))
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
    define_flag("target", str(HERE / "h100.txtpb"), "what XLA has to know of the GPU")
    define_flag("hlo", "runs/hlo", "folder of the compiled programs, as text")
    define_flag("xla", [], "options of XLA, NAME=VALUE each")
    define_flag("side", 32, "side of the images in pixels", lower_bound=1)
    define_flag("channels", 3, "of the images", lower_bound=1)
    define_flag("classes", 64, "classes of the source", lower_bound=1)
    define_flag("class_images", 600, "images of each class", lower_bound=1)
    start(main)
