"""Several processes as one run: how they meet, who writes, what all agree on.

Every process runs the same program on its own devices. What is computed on the mesh is computed by
all together; what the host decides (a signal, the time to save, the length of a chunk) they agree
on, or they would wait for each other for ever. Files are written by the first alone, in a folder
that all of them see.
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

HEARTBEAT_SECONDS = 30  # a process not heard of for so long is given up, and the run with it
LONGEST_MESSAGE = 2000  # bytes


def join(coordinator: str | None, processes: int | None, process_id: int | None) -> None:
    """Meet the other processes, before JAX touches a device.

    Args:
      coordinator: `address:port` of the first process, reachable from all; None asks the cluster
        (TPU pods, SLURM, Open MPI, Kubernetes), and so for the others.
      processes: how many there are.
      process_id: which this is, from 0.

    Raises:
      UserError: they do not meet, or there is no cluster to ask.
    """
    # It would take SIGTERM, which is agreed on here
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
            "the first, "
            "--num_processes and --process_id (0, 1, ...), or start them by a cluster's launcher"
        ) from error


def first() -> bool:
    """Whether this process is the one that writes; true where it is alone."""
    return jax.process_index() == 0


def max_over_processes(*values: float) -> tuple[float, ...]:
    """The largest of what the processes say, for each of the values; what it is given where it is
    alone.
    """
    return tuple(_everyones(np.array(values, np.float64)).max(0).tolist())


def broadcast_from_first(*values: float) -> tuple[float, ...]:
    """What the first process gives for these values."""
    return tuple(_everyones(np.array(values, np.float64))[0].tolist())


def _everyones(x: np.ndarray) -> np.ndarray:
    """The processes' arrays, a row each; passed on as bytes, where JAX would round float64."""
    return multihost_utils.process_allgather(x.view(np.uint8)).view(x.dtype)


def by_first(action: Callable[[], Any]) -> None:
    """Do this on the first process alone, while the others wait.

    Raises:
      UserError: on all of them, if it does on the first.
    """
    message = ""
    if first():
        try:
            action()
        except UserError as error:
            message = str(error)
    said = np.frombuffer(message.encode()[:LONGEST_MESSAGE].ljust(LONGEST_MESSAGE, b"\0"), np.uint8)
    if heard := bytes(_everyones(said)[0]).rstrip(b"\0").decode(errors="replace"):
        raise UserError(heard)


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """The arrays, alike on all processes, on every device of the mesh."""
    everywhere = NamedSharding(mesh, P())

    def put(x: Any) -> jax.Array:
        if jax.process_count() == 1:
            return jax.device_put(x, everywhere)
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            return typed_key(put(jax.random.key_data(x)))
        here = np.asarray(x)  # not `device_put`: it would send every array around to compare it
        return jax.make_array_from_callback(here.shape, everywhere, lambda index: here[index])

    return jax.tree.map(put, tree)


def on_this(tree: PyTree) -> PyTree:
    """Arrays that lie on all processes, as this process's own, to be computed with by it alone."""
    return tree if jax.process_count() == 1 else jax.tree.map(np.asarray, tree)
