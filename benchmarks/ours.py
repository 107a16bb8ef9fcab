"""Our contender: `metalearn` as a run of `experiments` uses it.

`python -m benchmarks.ours WORK`
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from benchmarks._lib import active, backbone, personal
from benchmarks._lib.lab import config_of, lab_of, training
from benchmarks._lib.work import Arrays, Work, scaled
from benchmarks._lib.worker import Contender, best_seconds, clock_of, serve
from metalearn.evaluation.episodes import Episodes, draw_episodes
from metalearn.evaluation.evaluator import evaluator
from metalearn.learners.maml import maml
from metalearn.learners.method import make_method
from metalearn.learners.protonet import protonet
from metalearn.models import make_network
from metalearn.runtime import commit, compiled, configure, device_name, peak_memory_mb
from metalearn.training.lab import split_source
from metalearn.training.parts import with_running_statistics
from metalearn.training.step import task_mesh
from metalearn.types import ClassSource, Learner, PyTree, Task


def training_steps(work: Work) -> Callable[[int], float]:
    """Outer steps, drawn, computed and counted on the device."""
    assembled = training(work)
    chunk = assembled.chunk
    split = assembled.split
    state = assembled.state()
    key = assembled.key()
    made = 0

    def steps(count: int) -> float:
        nonlocal state, made
        if not made:  # as training does it
            state = compiled(chunk, state, key, split, jnp.int32(0))
        made += count
        state, progress = chunk(state, key, split, jnp.int32(made))
        progress = jax.device_get(progress)
        if progress.steps != count:
            raise FloatingPointError(f"the loss is not finite at step {progress.bad_step}")
        return float(progress.sums["loss"]) / count

    return steps


def evaluation_steps(work: Work) -> Callable[[int], float]:
    """Tests as a run makes them.

    Moments are measured, the split is embedded, all episodes are classified by look-up.
    """
    config = config_of(work)
    lab = lab_of(work)
    method = make_method(config, work.classes)
    learner = method.test("running")
    source = split_source(lab, "test")
    episodes = draw_episodes(source, work.episodes, work.ways, work.shots, work.queries, seed=0)
    measure = with_running_statistics(config, method, lab)
    test = evaluator(learner, source, episodes, lab.prepare, lab.mesh)
    meta = learner.init(jax.random.key(0), jnp.zeros((1, *source.images.shape[1:])))
    return lambda count: float(np.mean([test(measure(meta)).loss for _ in range(count)]))


def tree(arrays: Arrays) -> PyTree:
    """`{"a/b": x}` as `{"a": {"b": x}}`."""
    made: dict[str, Any] = {}
    for name, value in arrays.items():
        *path, last = name.split("/")
        node = made
        for part in path:
            node = node.setdefault(part, {})
        node[last] = jnp.asarray(value)
    return made


def learner_of(work: Work) -> Learner:
    """The learner alone, in float64, with the convolutions that training takes here."""
    shared = work.method != "maml" or jax.default_backend() == "cpu"
    network = make_network(f"conv4-{work.width}", "batch", jnp.float64, shared)
    if work.method == "maml":
        return maml(network, work.ways, work.inner_lr, work.inner_steps)
    return protonet(network, work.ways)


def gradient(work: Work, given: Arrays) -> Arrays:
    """Mean loss and meta-gradient of the tasks given."""
    learner = learner_of(work)
    task = Task(**{name: jnp.asarray(given[name]) for name in Task._fields if name in given})
    meta = tree({k: v for k, v in given.items() if "/" in k})

    def mean_loss(meta: PyTree) -> jax.Array:
        each = (
            jax.lax.map if jax.default_backend() == "cpu" else lambda f, tasks: jax.vmap(f)(tasks)
        )
        return each(lambda t: learner.loss(jax.random.key(0), meta, t)[0], task).mean()

    loss, grads = jax.jit(jax.value_and_grad(mean_loss))(meta)
    flat = jax.tree_util.tree_leaves_with_path(grads)
    return {"loss": loss} | {
        jax.tree_util.keystr(path, simple=True, separator="/"): g for path, g in flat
    }


def evaluation_loss(work: Work, given: Arrays) -> Arrays:
    """Mean loss over the test episodes given."""
    learner = learner_of(work)
    lab = lab_of(work)
    starts = jnp.arange(work.classes, dtype=jnp.int32) * work.per_class
    source = ClassSource(
        jnp.asarray(given["images"]), starts, jnp.full(work.classes, work.per_class, jnp.int32)
    )
    episodes = Episodes(given["indices"].astype(np.int32), work.shots)
    test = evaluator(learner, source, episodes, lambda x: scaled(x.astype(jnp.float64)), lab.mesh)
    return {"loss": np.asarray(test(tree({k: v for k, v in given.items() if "/" in k})).loss)}


def peaks(size: int) -> tuple[float, float]:
    """FLOP/s of a square matrix product on every device, bytes/s of a copy as large.

    Bytes are both read and written.
    """
    mesh = task_mesh()
    a = jax.device_put(
        np.ones((mesh.size, size, size), np.float32), NamedSharding(mesh, PartitionSpec("tasks"))
    )
    product = jax.jit(jnp.matmul)
    copy = jax.jit(lambda x: x + 1)
    seconds = best_seconds(lambda: product(a, a).block_until_ready())
    return 2 * mesh.size * size**3 / seconds, 2 * a.nbytes / best_seconds(
        lambda: copy(a).block_until_ready()
    )


PARTS = {"personalise": personal.parts_of, "active": active.parts_of}
WAYS = {
    "evaluation": (evaluation_steps, evaluation_loss),
    "backbone": (backbone.steps_of, backbone.compared),
    "personalise": (personal.steps_of, personal.compared),
    "active": (active.steps_of, active.compared),
}


def make(work: Work) -> Contender:
    """Set up JAX, then what the work asks for."""
    exact = work.precision == "float64"
    clock = clock_of(work)
    configure(work.tasks, "float32" if exact else work.precision)
    jax.config.update("jax_enable_x64", exact)
    device = jax.devices()[0]
    about = {
        "jax": jax.__version__,
        "device": device_name(),
        "platform": device.platform,
        "commit": commit(),
    }
    (make_steps, compare) = WAYS.get(work.method, (training_steps, gradient))
    return Contender(
        about,
        _refuse if exact else make_steps(work),
        lambda given: compare(work, given),
        peaks,
        None if device.platform == "cpu" else peak_memory_mb,
        clock,
        PARTS[work.method](work) if work.method in PARTS else None,
    )


def _refuse(count: int) -> float:
    raise ValueError("steps are timed in the precision of training, not in float64")


if __name__ == "__main__":
    serve(make)
