"""Training from a split that no device holds.

The host gathers the images of coming steps while the device trains.

The host draws the positions of a step's images from the very keys that the device would draw them
from, so that the episodes are the same to the bit, and so is everything trained on them.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from metalearn.data.sampler import Sampler
from metalearn.errors import UserError
from metalearn.training.gradient import sample_key
from metalearn.training.step import task_keys
from metalearn.types import Array, ClassSource, Feed, Key, PyTree, typed_key

# Of the images that are sent to the devices at a time; two such blocks are there at once
BLOCK_BYTES = 64 * 2**20
MOST_STEPS = 100  # of a block


class Stream:
    """Blocks of `steps` steps' images, [steps,T,R,H,W,Ch] uint8.

    Each is shared out to the devices by tasks. While one block is trained on, a thread gathers the
    next. Every process gathers its own devices' tasks alone.

    Args:
      sampler: draws the positions of a task's images, and makes the task of these.
      source: the training split, on the host.
      key: that all tasks follow from.
      meta_batch: T, tasks a step.
      mesh: of the devices.

    Raises:
      UserError: JAX has no CPU to draw positions on.
    """

    def __init__(
        self, sampler: Sampler, source: ClassSource, key: Key, meta_batch: int, mesh: Mesh
    ):
        self._images: Any = source.images
        self._tasks = meta_batch
        self._sharding = NamedSharding(mesh, P(None, "tasks"))
        self._starts = np.asarray(source.starts)
        self._counts = np.asarray(source.counts)
        # As words: a key on the mesh could not be used on the CPU
        self._key = np.asarray(jax.random.key_data(key))
        try:
            self._cpu = jax.local_devices(backend="cpu")[0]
        except RuntimeError as error:
            raise UserError(
                "--stream draws on the CPU too: name it in JAX_PLATFORMS, as in cuda,cpu"
            ) from error
        self._draw = jax.jit(self._positions(sampler))
        self._images_a_task = self._rows(0, 1, range(1)).shape[-1]
        bytes_a_step = meta_batch * self._images_a_task * int(np.prod(self._images.shape[1:]))
        self.steps = max(1, min(MOST_STEPS, BLOCK_BYTES // bytes_a_step))
        self._thread = ThreadPoolExecutor(1, "stream")
        self._blocks: dict[int, Future[Feed]] = {}

    def at(self, step: int) -> Feed:
        """The block that this step is in; the next is begun."""
        # Blocks begin at multiples of their length, wherever a run was resumed
        number = step // self.steps
        wanted = (number, number + 1)
        self._blocks = {
            n: self._blocks.get(n) or self._thread.submit(self._block, n) for n in wanted
        }
        return self._blocks[number].result()

    def end(self, step: int) -> int:
        """The first step after the block that this step is in."""
        return (step // self.steps + 1) * self.steps

    def close(self) -> None:
        """Stop gathering."""
        self._thread.shutdown(cancel_futures=True)

    def _block(self, number: int) -> Feed:
        first = number * self.steps
        shape = (self.steps, self._tasks, self._images_a_task, *self._images.shape[1:])

        # Called once for each device of this process, with its slice of the tasks
        def part(index: Any) -> np.ndarray:
            return self._images[self._rows(first, self.steps, range(self._tasks)[index[1]])]

        images = jax.make_array_from_callback(shape, self._sharding, part)
        parts: tuple[Any, ...] = (np.int32(first), images, self._starts, self._counts)
        return Feed(*parts)

    def _rows(self, first: int, steps: int, tasks: Iterable[int]) -> np.ndarray:
        """Positions [steps, tasks, R] of the images of these tasks."""
        with jax.default_device(self._cpu):
            return np.asarray(
                self._draw(self._key, np.arange(first, first + steps), np.array(tasks))
            )

    def _positions(self, sampler: Sampler) -> Callable[[Array, Array, Array], Array]:
        starts, counts = self._starts, self._counts

        # The keys that the compiled step draws with, see `make_chunk`: so the host knows which
        # images the device will ask for
        def of_step(key: Key, step: Array, tasks: Array) -> Array:
            keys = jax.vmap(sample_key)(task_keys(key, step, tasks))
            return jax.vmap(
                lambda k: sampler.rows(k, jnp.asarray(starts), jnp.asarray(counts)).reshape(-1)
            )(keys)

        def draw(key_data: Array, steps: Array, tasks: Array) -> Array:
            key = typed_key(key_data)
            return jax.vmap(lambda step: of_step(key, step, tasks))(steps)

        return draw


class Supply:
    """Where steps get their images from: a split on the devices, or a stream from the host."""

    def __init__(self, split: PyTree, stream: Stream | None = None):
        self._split = split
        self._stream = stream

    def at(self, step: int) -> PyTree:
        """The split, or what is gathered of it for this step and some more."""
        return self._split if self._stream is None else self._stream.at(step)

    def end(self, step: int, stop: int) -> int:
        """How far a chunk from `step` to `stop` gets with what is there at `step`."""
        return stop if self._stream is None else min(stop, self._stream.end(step))

    def close(self) -> None:
        """Stop gathering."""
        if self._stream is not None:
            self._stream.close()
