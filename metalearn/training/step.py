"""The outer loop: chunks of steps that run on the device without the host."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import AxisType, Mesh

from metalearn.training.gradient import Loss, Sample, make_gradient
from metalearn.types import Array, ClassSource, Feed, Info, Key, PyTree

Source = ClassSource | Feed
Chunk = Callable[..., tuple["TrainState", "Progress"]]


class TrainState(NamedTuple):
    """What training carries from step to step, and what a checkpoint holds."""

    step: Array  # int32, updates made so far
    meta: PyTree
    opt_state: PyTree


class Progress(NamedTuple):
    """What a chunk reports."""

    sums: Info  # over its finite steps
    steps: Array  # int32, how many these are
    bad_step: Array  # int32, where the loss first was not finite, -1 for nowhere


_OF_EACH: dict[str, Any] = {"step": None, "meta": 0, "opt_state": 0}
EACH = TrainState(**_OF_EACH)  # axes of the state of S trainings at once: all are at the same step


def task_mesh(devices: int | None = None) -> Mesh:
    """A mesh with one axis, `tasks`, over the first `devices` [all] devices of every process."""
    found = [
        d for process in range(jax.process_count()) for d in jax.local_devices(process)[:devices]
    ]
    return jax.make_mesh((len(found),), ("tasks",), axis_types=(AxisType.Auto,), devices=found)


def start(
    init: Callable[..., PyTree], optimizer: optax.GradientTransformation, key: Key, x: Array
) -> TrainState:
    """The state before the first step.

    Args:
      init: `(key, x) -> meta`, as in `Learner`.
      optimizer: the outer optimiser.
      key: of the initial weights.
      x: [1,H,W,Ch], gives the shapes.
    """
    meta = init(key, x)
    return TrainState(jnp.zeros((), jnp.int32), meta, optimizer.init(meta))


def together(states: Sequence[TrainState]) -> TrainState:
    """The state of trainings at once that are at the same step; a single one's is as it was."""
    return stacked(states)._replace(step=states[0].step)


def apart(state: TrainState, count: int) -> list[TrainState]:
    """The states of so many trainings at once, each as if it were alone."""
    return [TrainState(state.step, *its) for its in unstacked((state.meta, state.opt_state), count)]


def stacked(trees: Sequence[PyTree]) -> PyTree:
    """Trees of the same shapes as one with a leading axis; a single one as it is."""
    return trees[0] if len(trees) == 1 else jax.tree.map(lambda *x: jnp.stack(x), *trees)


def unstacked(tree: PyTree, count: int) -> list[PyTree]:
    """The trees that `stacked` made one."""
    return [tree] if count == 1 else [jax.tree.map(itemgetter(i), tree) for i in range(count)]


def task_keys(key: Key, step: Array, tasks: Array) -> Array:
    """The keys of these tasks of a step: they depend on nothing else."""
    # Folded in, not split off one after the other: a resumed run, another device or the host finds
    # the key of any task of any step without those before it
    step_key = jax.random.fold_in(key, step)
    return jax.vmap(lambda t: jax.random.fold_in(step_key, t))(tasks)


def no_sums(loss: Loss, sample: Sample, meta: PyTree, key: Key, source: Source) -> Info:
    """Zeros, one for every number whose mean over tasks is reported.

    Args:
      loss: as in `make_chunk`.
      sample: as in `make_chunk`.
      meta: meta-parameters, or their shapes.
      key: any.
      source: the split, or a `Feed`, or their shapes.
    """

    def info(key: Key, meta: PyTree, source: Source) -> Info:
        batch = sample(key, source.one() if isinstance(source, Feed) else source)
        return jax.tree.map(jnp.mean, loss(key, meta, batch, jnp.int32(0))[1])

    return jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(info, key, meta, source)
    )


def make_chunk(
    loss: Loss,
    sample: Sample,
    optimizer: optax.GradientTransformation,
    meta_batch: int,
    mesh: Mesh,
    at_once: int = 0,
    streamed: bool = False,
) -> Chunk:
    """`(state, key, source, stop[, sums]) -> (state, Progress)`, compiled once for all.

    It makes the steps from state.step to stop.

    sums are those of the chunk before, to be added to. float32 sums depend on their order: carried
    from chunk to chunk, they are the same wherever chunks end.

    Step s draws its tasks from `fold_in(key, s)` and task t of them from `fold_in(., t)`: neither
    the length of a chunk, nor a resume, nor the number of devices changes which tasks are seen. A
    step whose loss or gradient is not finite leaves the state as it was, and no further step is
    made.

    With keys [S], S trainings of these tasks run at once: of their state, sums and bad_step, all
    but the step have a leading S. Each is what it would be alone, to the order of float32 sums,
    until a step is not finite for one of them: none makes it.

    Args:
      loss: `(key, meta, batch, step) -> (scalar, info)`, as in `Learner`.
      sample: `(key, source) -> batch`, one task or one batch.
      optimizer: the outer optimiser.
      meta_batch: T, tasks a step; a multiple of the mesh's size.
      mesh: over whose axis `tasks` the tasks are shared out; the state is on all its devices.
      at_once: tasks a device works on at a time, see `make_gradient`.
      streamed: the source is a `Feed` with the steps from state.step to stop, and `sample` is given
        one task's images; of one training alone.
    """
    gradient = make_gradient(loss, sample, mesh, at_once, streamed)

    def update(state: TrainState, key: Key, source: Source) -> tuple[TrainState, Info, Array]:
        keys = task_keys(key, state.step, jnp.arange(meta_batch))
        here = source.at(state.step) if isinstance(source, Feed) else source
        value, info, grads = gradient(state.meta, keys, here, state.step)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.meta)
        fine = jnp.isfinite(value) & jnp.isfinite(optax.tree.norm(grads))
        return (
            TrainState(state.step + 1, optax.apply_updates(state.meta, updates), opt_state),
            info,
            fine,
        )

    def chunk(
        state: TrainState, key: Key, source: Source, stop: Array, sums: Info | None = None
    ) -> tuple[TrainState, Progress]:
        updated = jax.vmap(update, (EACH, 0, None), (EACH, 0, 0)) if key.ndim else update

        def unfinished(carry: tuple[TrainState, Progress]) -> Array:
            state, progress = carry
            return (state.step < stop) & (progress.bad_step < 0).all()

        def body(carry: tuple[TrainState, Progress]) -> tuple[TrainState, Progress]:
            state, progress = carry
            new, info, each = updated(state, key, source)
            fine = each.all()
            # A step that is not finite is undone here: the state of before is what can be saved
            kept = jax.tree.map(lambda a, b: jnp.where(fine, a, b), new, state)
            sums = jax.tree.map(lambda s, x: s + jnp.where(fine, x, 0.0), progress.sums, info)
            bad = jnp.where(each, -1, state.step + 1)
            return kept, Progress(sums, progress.steps + fine, bad)

        if sums is None:
            meta = unstacked(state.meta, key.size)[0]
            one = no_sums(loss, sample, meta, key.reshape(-1)[0], source)
            sums = jax.tree.map(lambda x: jnp.zeros(key.shape, x.dtype), one)
        nowhere = jnp.full(key.shape, -1, jnp.int32)
        # Not a scan: `stop` is an argument, so that chunks of any length are one compiled program
        return jax.lax.while_loop(unfinished, body, (state, Progress(sums, jnp.int32(0), nowhere)))

    # The state is donated: the new one takes its memory, which would else be needed twice
    return jax.jit(chunk, donate_argnums=0)
