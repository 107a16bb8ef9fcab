"""The outer loop: chunks of steps that run on the device without a word from the host."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P

from metalearn.types import Array, ClassSource, Feed, Info, Key, PyTree, largest_divisor

Loss = Callable[..., tuple[Array, Info]]
Sample = Callable[[Key, ClassSource], Any]
Source = ClassSource | Feed
Gradient = Callable[[PyTree, Array, ClassSource, Array], tuple[Array, Info, PyTree]]
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
    """The state before the first step; x [1,H,W,Ch] gives the shapes."""

    @jax.jit  # one program: operation by operation, a body's layers are a hundred, each compiled
    def fresh(key: Key, x: Array) -> TrainState:
        meta = init(key, x)
        return TrainState(jnp.zeros((), jnp.int32), meta, optimizer.init(meta))

    return fresh(key, x)


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
    step_key = jax.random.fold_in(key, step)
    return jax.vmap(lambda t: jax.random.fold_in(step_key, t))(tasks)


def sample_key(key: Key) -> Key:
    """What a task's batch is drawn from, given the task's key; the other half is its loss's."""
    return jax.random.split(key)[0]


def make_gradient(
    loss: Loss, sample: Sample, mesh: Mesh, at_once: int = 0, gathered: bool = False
) -> Gradient:
    """`(meta, keys [T], source, step) -> (loss, info, gradient)`, means over T tasks.

    The tasks are shared out over the mesh.

    A device works on `at_once` of its tasks at a time, or as many fewer as divide its share evenly
    (0: on all), and adds up their gradients: memory follows `at_once`, the result is the same but
    for the order of float32 sums.

    The images of the source are the whole split's, or, gathered, those of each task, with a leading
    T.
    """
    by_task: dict[str, Any] = {"images": 0, "starts": None, "counts": None}
    shared: dict[str, Any] = {"images": P("tasks"), "starts": P(), "counts": P()}
    axes, specs = (ClassSource(**by_task), ClassSource(**shared)) if gathered else (None, P())

    def one(key: Key, meta: PyTree, source: ClassSource, step: Array) -> tuple[Array, Info]:
        return loss(jax.random.split(key)[1], meta, sample(sample_key(key), source), step)

    def mean_loss(
        meta: PyTree, keys: Array, source: ClassSource, step: Array
    ) -> tuple[Array, Info]:
        if len(keys) == 1:  # no axis that would give a task's kernels one more
            here = source._replace(images=source.images[0]) if gathered else source
            values, info = one(keys[0], meta, here, step)
        else:
            values, info = jax.vmap(one, (0, None, axes, None))(keys, meta, source, step)
        return values.mean(), jax.tree.map(jnp.mean, info)

    def block(
        meta: PyTree, keys: Array, source: ClassSource, step: Array
    ) -> tuple[Array, Info, PyTree]:
        (value, info), grads = jax.value_and_grad(mean_loss, has_aux=True)(meta, keys, source, step)
        return value, info, grads

    def added_up(meta: PyTree, keys: Array, source: ClassSource, step: Array, size: int) -> PyTree:
        images = source.images.reshape(-1, size, *source.images.shape[1:]) if gathered else None
        parts = keys.reshape(-1, size), images
        traced = jax.jit(block)  # once, for its shapes and for the loop

        def of(part: tuple[Array, Any]) -> tuple:
            return meta, part[0], source._replace(images=part[1]) if gathered else source, step

        def add(total: PyTree, part: tuple[Array, Any]) -> tuple[PyTree, None]:
            return jax.tree.map(jnp.add, total, traced(*of(part))), None

        whole = jax.eval_shape(traced, *of(jax.tree.map(lambda x: x[0], parts)))
        zeros = jax.tree.map(jnp.zeros_like, whole)
        return jax.lax.scan(add, zeros, parts)[0]

    def local(
        meta: PyTree, keys: Array, source: ClassSource, step: Array
    ) -> tuple[Array, Info, PyTree]:
        size = largest_divisor(len(keys), at_once or len(keys))
        if size == len(keys):
            found = block(meta, keys, source, step)
        else:
            found = jax.tree.map(
                lambda x: x * size / len(keys), added_up(meta, keys, source, step, size)
            )
        return jax.lax.pmean(found, "tasks")

    return jax.shard_map(
        local, mesh=mesh, in_specs=(P(), P("tasks"), specs, P()), out_specs=P(), check_vma=False
    )


def no_sums(loss: Loss, sample: Sample, meta: PyTree, key: Key, source: Source) -> Info:
    """Zeros, one for every number whose mean over tasks is reported."""

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

    sums are those of the chunk before, to be added to: so they too do not depend on where chunks
    end.

    Step s draws its tasks from `fold_in(key, s)` and task t of them from `fold_in(., t)`: neither
    the length of a chunk, nor a resume, nor the number of devices changes which tasks are seen. A
    step whose loss or gradient is not finite leaves the state as it was, and no further step is
    made.

    With keys [S], S trainings of these tasks go on at once: of their state, sums and bad_step, all
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

        def go_on(carry: tuple[TrainState, Progress]) -> Array:
            state, progress = carry
            return (state.step < stop) & (progress.bad_step < 0).all()

        def body(carry: tuple[TrainState, Progress]) -> tuple[TrainState, Progress]:
            state, progress = carry
            new, info, each = updated(state, key, source)
            fine = each.all()
            kept = jax.tree.map(lambda a, b: jnp.where(fine, a, b), new, state)
            sums = jax.tree.map(lambda s, x: s + jnp.where(fine, x, 0.0), progress.sums, info)
            bad = jnp.where(each, -1, state.step + 1)
            return kept, Progress(sums, progress.steps + fine, bad)

        if sums is None:
            meta = unstacked(state.meta, key.size)[0]
            one = no_sums(loss, sample, meta, key.reshape(-1)[0], source)
            sums = jax.tree.map(lambda x: jnp.zeros(key.shape, x.dtype), one)
        nowhere = jnp.full(key.shape, -1, jnp.int32)
        return jax.lax.while_loop(go_on, body, (state, Progress(sums, jnp.int32(0), nowhere)))

    return jax.jit(chunk, donate_argnums=0)
