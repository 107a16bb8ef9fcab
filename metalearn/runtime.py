"""The machine: devices, precision, memory, and leaving politely."""

import ctypes
import functools
import math
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import jax

from metalearn.errors import UserError

T = TypeVar("T")


def configure(meta_batch: int, precision: str) -> None:
    """Set up JAX before it touches a device.

    On a CPU, one single-threaded device per core that the meta-batch divides into is faster than
    one device with many threads; elsewhere XLA_FLAGS of the host platform mean nothing. What the
    user set in XLA_FLAGS stays.

    Raises:
      UserError: unknown precision.
    """
    if precision not in ("float32", "tf32", "bfloat16"):
        raise UserError(f"unknown precision '{precision}': choose float32, tf32 or bfloat16")
    commit()  # now: the code that runs is what was read at the start
    flag = "--xla_force_host_platform_device_count"
    if flag not in os.environ.get("XLA_FLAGS", ""):
        cores = (
            math.gcd(meta_batch, len(os.sched_getaffinity(0)))
            if hasattr(os, "sched_getaffinity")
            else 1
        )
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}={cores}".strip()
    if not jax.config.values["jax_compilation_cache_dir"]:
        with suppress(RuntimeError):  # no home folder: compiled anew each time
            cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
            jax.config.update("jax_compilation_cache_dir", str(cache / "metalearn" / "xla"))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update(
        "jax_default_matmul_precision",
        {"float32": "float32", "tf32": "tensorfloat32"}.get(precision),
    )


def device_name() -> str:
    """The accelerator's name, or the processor's and how many cores this process may use."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        return f"{jax.device_count()}x {device.device_kind}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    model = "CPU"
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(
            (x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), model
        )
    return f"{cores}x {model}"


def device_memory() -> int:
    """Bytes of memory of one of this process's devices; those of a CPU share the machine's."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if jax.local_devices()[0].platform != "cpu" and "bytes_limit" in stats:
        return stats["bytes_limit"]
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // jax.local_device_count()


def peak_memory_mb() -> float:
    """Most memory used so far, MiB: the device's where it counts, else this process's resident
    set.
    """
    stats = jax.local_devices()[0].memory_stats() or {}
    if jax.local_devices()[0].platform != "cpu" and "peak_bytes_in_use" in stats:
        return round(stats["peak_bytes_in_use"] / 2**20, 1)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def compiled(program: Callable[..., tuple[T, Any]], *arguments: Any) -> T:
    """The first of what the program returns, here for arguments that leave it nothing to do but to
    be compiled.

    What compiling took and freed is given back, where the C library can do that: work need not hold
    it beside its own.
    """
    state, _ = program(*arguments)
    jax.block_until_ready(state)
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    return state


@functools.cache
def commit() -> str:
    """The checkout's commit when first asked for, `+` if tracked files differ from it.

    A copy without its repository has the commit that METALEARN_COMMIT names, else `unknown`.
    """
    root = Path(__file__).resolve().parent.parent
    told = os.environ.get("METALEARN_COMMIT") or "unknown"

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root:
            return told  # a repository that the copy only lies in
        changed = git(
            "status",
            "--porcelain",
            "--untracked-files=no",
            "--",
            "metalearn",
            "experiments",
            "benchmarks",
        )
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return told


def overlook_closed_loops() -> None:
    """Keep quiet about TensorStore's threads that, after a failed read, report to a loop that orbax
    has closed.
    """
    shown = sys.unraisablehook

    def show(happened: "sys.UnraisableHookArgs") -> None:
        if str(happened.exc_value) != "Event loop is closed":
            shown(happened)

    sys.unraisablehook = show


class Interrupt:
    """Turns the first SIGINT or SIGTERM into `.signal`, asked for between chunks; a second one ends
    at once.
    """

    def __init__(self) -> None:
        self.signal = 0

    def __enter__(self) -> "Interrupt":
        self._old = {s: signal.signal(s, self._catch) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _catch(self, number: int, frame: object) -> None:
        self.signal = number
        signal.signal(number, signal.SIG_DFL)
