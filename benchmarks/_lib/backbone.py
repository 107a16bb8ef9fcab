"""Our side of `benchmarks.backbone`: EfficientNet-Lite0 that embeds, or is fine-tuned."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from benchmarks._lib.lite0 import CHECKED, LAST, RATE, drawn, given
from benchmarks._lib.work import Arrays, Work
from metalearn.models.efficientnet_lite import family
from metalearn.models.layers import fold
from metalearn.models.layouts import place
from metalearn.models.staged import Run, runner
from metalearn.ops.losses import cross_entropy
from metalearn.training.step import task_mesh
from metalearn.types import Array, PyTree

SIZE = 224
Step = Callable[[PyTree, PyTree, Array, Array], tuple[PyTree, Array]]


class Lite0(NamedTuple):
    """The network, its weights, and its stages."""

    run: Run
    params: PyTree
    stages: tuple[str, ...]


def lite0() -> Lite0:
    """Drawn weights, normalisation folded into kernels."""
    kind = family(1.0, 1.0, SIZE)
    (layout,) = kind.layouts
    module = kind.build()
    image = jax.ShapeDtypeStruct((1, *layout.inputs.shape), jnp.float32)
    shapes = jax.eval_shape(module.init, jax.random.key(0), image)["params"]
    tensors = {
        entry.keys[0]: drawn(entry.keys[0], _theirs(shapes, entry.path))
        for entry in layout.entries
        if entry.tree != "classifier"
    }
    placed = place(layout, tensors, module, Path("drawn"))
    folded = fold(placed.params, placed.moments, module.eps)
    return Lite0(runner(module), folded, module.names)


def _theirs(shapes: PyTree, path: tuple[str, ...]) -> tuple[int, ...]:
    """The shape in PyTorch of what is at this path; moments have that of the scale beside them."""
    node: Any = shapes
    for name in path[:-1]:
        node = node[name]
    shape = node[path[-1] if path[-1] in node else "scale"].shape
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape


def mesh_of(work: Work) -> Mesh:
    """As many devices as share out the images evenly."""
    return task_mesh(math.gcd(work.tasks, jax.device_count()))


def embedding(body: Lite0, mesh: Mesh) -> Callable[[PyTree, Array], Array]:
    """`(params, x) -> z`, every device at work on its share of the images, as a test embeds."""
    mapped = jax.shard_map(body.run, mesh=mesh, in_specs=(P(), P("tasks")), out_specs=P("tasks"))
    return jax.jit(mapped)


def tuning(body: Lite0, part: str, mesh: Mesh) -> Step:
    """`(params, frozen, x, y) -> params, loss`: a step of gradient descent of this part.

    Every device has its share of the images.
    """
    before = body.stages[body.stages.index(LAST) - 1]
    first = None if part == "whole" else LAST

    def loss(params: PyTree, frozen: PyTree, x: Array, y: Array) -> Array:
        if part == "behind":
            x = body.run(frozen, x, last=before)
        z = body.run(params["body"], x, first=first)
        logits = z @ params["head"]["kernel"] + params["head"]["bias"]
        return cross_entropy(logits, y)

    def step(params: PyTree, frozen: PyTree, x: Array, y: Array) -> tuple[PyTree, Array]:
        (value, gradient) = jax.value_and_grad(loss)(params, frozen, x, y)
        (value, gradient) = jax.lax.pmean((value, gradient), "tasks")
        return jax.tree.map(lambda p, g: p - RATE * g, params, gradient), value

    mapped = jax.shard_map(
        step,
        mesh=mesh,
        in_specs=(P(), P(), P("tasks"), P("tasks")),
        out_specs=P(),
        check_vma=False,
    )
    return jax.jit(mapped, donate_argnums=0)


def _inputs(work: Work) -> tuple[Array, Array, PyTree]:
    """Images, labels and head on the devices."""
    found = given(work)
    each = NamedSharding(mesh_of(work), P("tasks"))
    head = {name: jnp.asarray(found[name]) for name in ("kernel", "bias")}
    return jax.device_put(found["x"], each), jax.device_put(found["y"], each), head


def _divided(body: Lite0, work: Work, head: PyTree) -> tuple[PyTree, PyTree]:
    """The parameters that the step changes, and those of stages before that it uses."""
    first = 0 if work.part == "whole" else body.stages.index(LAST)
    trained = {name: body.params[name] for name in body.stages[first:]}
    before = body.stages[:first] if work.part == "behind" else ()
    return {"body": trained, "head": head}, {name: body.params[name] for name in before}


def steps_of(work: Work) -> Callable[[int], float]:
    """Embeds the images so many times, or makes so many steps."""
    body = lite0()
    (x, y, head) = _inputs(work)
    if work.part == "embed":
        embed = embedding(body, mesh_of(work))
        params = jax.device_put(body.params, NamedSharding(mesh_of(work), P()))

        def embedded(count: int) -> float:
            for _ in range(count):
                z = jax.block_until_ready(embed(params, x))
            return float(z[0].mean())

        return embedded
    step = tuning(body, work.part, mesh_of(work))
    everywhere = NamedSharding(mesh_of(work), P())
    (state, frozen) = jax.device_put(_divided(body, work, head), everywhere)

    def trained(count: int) -> float:
        nonlocal state
        for _ in range(count):
            (state, loss) = step(state, frozen, x, y)
            jax.block_until_ready(loss)
        return float(loss)

    return trained


def compared(work: Work, example: Arrays) -> Arrays:
    """Features of the images, or the losses of the first steps; all inputs are drawn."""
    del example
    body = lite0()
    (x, y, head) = _inputs(work)
    if work.part == "embed":
        return {"features": np.asarray(embedding(body, mesh_of(work))(body.params, x))}
    step = tuning(body, work.part, mesh_of(work))
    (params, frozen) = _divided(body, work, head)
    losses = []
    for _ in range(CHECKED):
        (params, loss) = step(params, frozen, x, y)
        losses.append(np.asarray(loss))
    return {"losses": np.stack(losses)}
