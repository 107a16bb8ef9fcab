"""The outer loop: chunks of steps that run on the device without a word from the host."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P

from metalearn.base import Array, ClassSource, Info, Key, PyTree

Loss = Callable[..., tuple[Array, Info]]
Sample = Callable[[Key, ClassSource], Any]
Chunk = Callable[..., tuple["TrainState", "Progress"]]


class TrainState(NamedTuple):
    """What training carries from step to step, and what a checkpoint holds."""

    step: Array  # int32, updates made so far
    meta: PyTree
    opt_state: PyTree


class Progress(NamedTuple):
    """What a chunk reports: sums over its finite steps, and where the loss first was not finite (-1: nowhere)."""

    sums: Info
    steps: Array
    bad_step: Array


def task_mesh(devices: int | None = None) -> Mesh:
    """A mesh with one axis, `tasks`, over the first `devices` local devices (default: all)."""
    found = jax.devices()[:devices]
    return jax.make_mesh((len(found),), ("tasks",), axis_types=(AxisType.Auto,), devices=found)


def start(init: Callable[..., PyTree], optimizer: optax.GradientTransformation, key: Key, x: Array) -> TrainState:
    """The state before the first step; x [1,H,W,Ch] gives the shapes."""
    meta = init(key, x)
    return TrainState(jnp.zeros((), jnp.int32), meta, optimizer.init(meta))


def make_chunk(
    loss: Loss, sample: Sample, optimizer: optax.GradientTransformation, meta_batch: int, mesh: Mesh
) -> Chunk:
    """`(state, key, source, stop[, sums]) -> (state, Progress)`: steps from state.step to stop, compiled once for all.

    sums are those of the chunk before, to be added to: so they too do not depend on where chunks end.

    Step s draws its tasks from `fold_in(key, s)` and task t of them from `fold_in(., t)`: neither the length of a
    chunk, nor a resume, nor the number of devices changes which tasks are seen. A step whose loss or gradient is not
    finite leaves the state as it was, and no further step is made.

    Args:
      loss: `(key, meta, batch, step) -> (scalar, info)`, as in `Learner`.
      sample: `(key, source) -> batch`, one task or one batch.
      optimizer: the outer optimiser.
      meta_batch: T, tasks a step; a multiple of the mesh's size.
      mesh: over whose axis `tasks` the tasks are shared out; the state is on all its devices.
    """

    def one(key: Key, meta: PyTree, source: ClassSource, step: Array) -> tuple[Array, Info]:
        sample_key, loss_key = jax.random.split(key)
        return loss(loss_key, meta, sample(sample_key, source), step)

    def mean_loss(meta: PyTree, keys: Array, source: ClassSource, step: Array) -> tuple[Array, Info]:
        values, info = jax.vmap(one, (0, None, None, None))(keys, meta, source, step)
        return values.mean(), jax.tree.map(jnp.mean, info)

    def local(meta: PyTree, keys: Array, source: ClassSource, step: Array) -> tuple[Array, Info, PyTree]:
        (value, info), grads = jax.value_and_grad(mean_loss, has_aux=True)(meta, keys, source, step)
        value, info, grads = jax.lax.pmean((value, info, grads), "tasks")
        return value, info, grads

    shared = jax.shard_map(local, mesh=mesh, in_specs=(P(), P("tasks"), P(), P()), out_specs=P(), check_vma=False)

    def update(state: TrainState, key: Key, source: ClassSource) -> tuple[TrainState, Info, Array]:
        step_key = jax.random.fold_in(key, state.step)
        keys = jax.vmap(lambda t: jax.random.fold_in(step_key, t))(jnp.arange(meta_batch))
        value, info, grads = shared(state.meta, keys, source, state.step)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.meta)
        fine = jnp.isfinite(value) & jnp.isfinite(optax.tree.norm(grads))
        return TrainState(state.step + 1, optax.apply_updates(state.meta, updates), opt_state), info, fine

    def chunk(
        state: TrainState, key: Key, source: ClassSource, stop: Array, sums: Info | None = None
    ) -> tuple[TrainState, Progress]:
        def go_on(carry: tuple[TrainState, Progress]) -> Array:
            state, progress = carry
            return (state.step < stop) & (progress.bad_step < 0)

        def body(carry: tuple[TrainState, Progress]) -> tuple[TrainState, Progress]:
            state, progress = carry
            new, info, fine = update(state, key, source)
            kept = jax.tree.map(lambda a, b: jnp.where(fine, a, b), new, state)
            sums = jax.tree.map(lambda s, x: s + jnp.where(fine, x, 0.0), progress.sums, info)
            bad = jnp.where(fine, -1, state.step + 1)
            return kept, Progress(sums, progress.steps + fine, bad)

        if sums is None:
            shapes = jax.eval_shape(update, state, key, source)[1]
            sums = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return jax.lax.while_loop(go_on, body, (state, Progress(sums, jnp.int32(0), jnp.int32(-1))))

    return jax.jit(chunk, donate_argnums=0)
