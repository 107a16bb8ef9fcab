"""A function of each image, computed for many in blocks that the devices share out."""

from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from metalearn.types import Array, PyTree

BLOCK = 64  # images that a device works on at a time


class Blocks:
    """`(params, images) -> results`, block by block, of a function of each image alone.

    Args:
      function: `(params, x [B,...]) -> [B,...]`.
      mesh: its axis `tasks` shares out the images.
      size: images of a block on each device; None: `BLOCK`.
    """

    def __init__(
        self,
        function: Callable[[PyTree, Array], Array],
        mesh: Mesh,
        size: int | None = None,
    ):
        def gathered(params: PyTree, x: Array) -> Array:
            return jax.lax.all_gather(function(params, x), "tasks", tiled=True)

        self.size = (size or BLOCK) * mesh.size
        self._run = jax.jit(
            jax.shard_map(
                gathered,
                mesh=mesh,
                in_specs=(P(), P("tasks")),
                out_specs=P(),
                check_vma=False,  # rows after an all-gather are the same everywhere
            )
        )

    def each(
        self, params: PyTree, images: np.ndarray, rows: np.ndarray
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Results for the images at these rows, and which of the rows they are of.

        Args:
          params: of the function.
          images: [M,...], perhaps memory-mapped.
          rows: int [R], positions in them.
        """
        for start in range(0, len(rows), self.size):
            # All blocks have one shape, so one program is compiled: the last repeats its last image
            places = np.minimum(np.arange(start, start + self.size), len(rows) - 1)
            found = np.asarray(self._run(params, images[rows[places]]))
            stop = min(start + self.size, len(rows))
            yield slice(start, stop), found[: stop - start]

    def __call__(
        self, params: PyTree, images: np.ndarray, rows: np.ndarray | None = None
    ) -> np.ndarray:
        """Results for all images, or for those at these rows."""
        chosen = np.arange(len(images)) if rows is None else rows
        return np.concatenate([found for _, found in self.each(params, images, chosen)])
