"""Several processes as one run: how they connect, which of them writes, what all agree on.

Every process runs the same program on its own devices. What is computed on the mesh is computed by
all together. What the host decides (a signal, the time to save, the length of a chunk) must be the
same on all, or they would wait for each other for ever. Files are written by the first alone, in a
folder that all of them see.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from metalearn.errors import UserError
from metalearn.types import PyTree, typed_key

HEARTBEAT_SECONDS = 30  # the run ends if a process sends no heartbeat for so long
LONGEST_MESSAGE = 2000  # bytes


def join(coordinator: str | None, processes: int | None, process_id: int | None) -> None:
    """Connects to the other processes, before JAX uses a device.

    Args:
      coordinator: `address:port` of the first process, reachable from all; None asks the cluster
        (TPU pods, SLURM, Open MPI, Kubernetes), also for the other two.
      processes: number of processes.
      process_id: of this one, from 0.

    Raises:
      UserError: they do not connect, there is no cluster to ask, or the address has no port.
    """
    if coordinator is not None and not coordinator.rpartition(":")[2].isdecimal():
        raise UserError(f"--coordinator={coordinator} names no port: write ADDRESS:PORT")
    # It would handle SIGTERM itself, on which the processes agree in the training loop
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process_id,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=2 * HEARTBEAT_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        why = str(error).splitlines()[0]
        raise UserError(
            f"--distributed: the processes do not meet ({why}): give --coordinator=ADDRESS:PORT of "
            "the first, --num_processes and --process_id (0, 1, ...), or start them by a cluster's "
            "launcher"
        ) from error


def first() -> bool:
    """Whether this process is the one that writes; true of a single process."""
    return jax.process_index() == 0


def max_over_processes(*values: float) -> tuple[float, ...]:
    """The largest over all processes of each value; of a single process, its own values."""
    return tuple(_all_gather(np.array(values, np.float64)).max(0).tolist())


def broadcast_from_first(*values: float) -> tuple[float, ...]:
    """The first process's values, on every process."""
    return tuple(_all_gather(np.array(values, np.float64))[0].tolist())


def _all_gather(x: np.ndarray) -> np.ndarray:
    """All-gather: the processes' arrays, a row each; sent as bytes, as JAX would round float64."""
    return multihost_utils.process_allgather(x.view(np.uint8)).view(x.dtype)


def by_first(action: Callable[[], Any]) -> None:
    """Does this on the first process alone, while the others wait.

    Raises:
      UserError: on every process, if the action raises it on the first.
    """
    message = ""
    if first():
        try:
            action()
        except UserError as error:
            message = str(error)
    # Of a fixed length, as an all-gather needs; empty where nothing went wrong
    said = np.frombuffer(message.encode()[:LONGEST_MESSAGE].ljust(LONGEST_MESSAGE, b"\0"), np.uint8)
    if heard := bytes(_all_gather(said)[0]).rstrip(b"\0").decode(errors="replace"):
        raise UserError(heard)


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """The arrays replicated on every device of the mesh; all processes must have the same ones."""
    everywhere = NamedSharding(mesh, P())

    def put(x: Any) -> jax.Array:
        if jax.process_count() == 1:
            return jax.device_put(x, everywhere)
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            # NumPy knows no keys: their two words are put there
            return typed_key(put(jax.random.key_data(x)))
        here = np.asarray(x)  # not `device_put`: it would compare every array over all processes
        return jax.make_array_from_callback(here.shape, everywhere, lambda index: here[index])

    return jax.tree.map(put, tree)


def on_this(tree: PyTree) -> PyTree:
    """Replicated arrays as this process's own, for computations that it does alone."""
    return tree if jax.process_count() == 1 else jax.tree.map(np.asarray, tree)
