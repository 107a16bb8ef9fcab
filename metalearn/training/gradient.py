"""The meta-gradient of a step: its tasks shared out to devices, and there to blocks of tasks."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from metalearn.types import Array, ClassSource, Info, Key, PyTree, largest_divisor

Loss = Callable[..., tuple[Array, Info]]
Sample = Callable[[Key, ClassSource], Any]
Gradient = Callable[[PyTree, Array, ClassSource, Array], tuple[Array, Info, PyTree]]


def sample_key(key: Key) -> Key:
    """What a task's batch is drawn from, given the task's key; the other half is its loss's."""
    return jax.random.split(key)[0]


def make_gradient(
    loss: Loss, sample: Sample, mesh: Mesh, at_once: int = 0, gathered: bool = False
) -> Gradient:
    """`(meta, keys [T], source, step) -> (loss, info, gradient)`, means over T tasks.

    Args:
      loss: `(key, meta, batch, step) -> (scalar, info)`, as in `Learner`.
      sample: `(key, source) -> batch`, one task.
      mesh: over whose axis `tasks` the tasks are shared out.
      at_once: tasks that a device works on at a time, or as many fewer as divide its share evenly
        (0: all of it). It adds up their gradients: memory follows `at_once`, the result is the same
        but for the order of float32 sums.
      gathered: the source has the images of each task, with a leading T, and not those of the whole
        split.
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

        # The sums are carried through the loop: a block's gradient is freed once it is added
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
            # A sum over blocks of means over `size` tasks
            found = jax.tree.map(
                lambda x: x * size / len(keys), added_up(meta, keys, source, step, size)
            )
        # Devices have equal shares, so the mean of their means is that of all tasks. It is taken
        # once a step, of loss and gradient together: one exchange between devices
        return jax.lax.pmean(found, "tasks")

    # `pmean` makes the results the same on all devices; JAX's own check of that is off
    return jax.shard_map(
        local, mesh=mesh, in_specs=(P(), P("tasks"), specs, P()), out_specs=P(), check_vma=False
    )
