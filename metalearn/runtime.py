"""The machine: devices, precision, memory, the commit, and ending on a signal."""

import ctypes
import functools
import gc
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
R = TypeVar("R")

# Of the garbage collector: tracing makes many small objects that stay, and by default they are
# looked at again and again until the first step
COLLECTED = (200_000, 50, 100)


def configure(meta_batch: int, precision: str) -> None:
    """Sets up a program that uses JAX, before it uses a device.

    On a CPU, one single-threaded device per core that the meta-batch divides into is faster than
    one device with many threads, and code is compiled for the widest vectors. On other platforms
    neither has an effect. What the user has set in XLA_FLAGS stays. Garbage is collected more
    rarely.

    Args:
      meta_batch: T, tasks of an outer update.
      precision: `float32`, `tf32` or `bfloat16`.

    Raises:
      UserError: unknown precision.
    """
    if precision not in ("float32", "tf32", "bfloat16"):
        raise UserError(f"unknown precision '{precision}': choose float32, tf32 or bfloat16")
    commit()  # now: the code that runs is what was read at the start
    gc.set_threshold(*COLLECTED)
    cores = (
        math.gcd(meta_batch, len(os.sched_getaffinity(0)))
        if hasattr(os, "sched_getaffinity")
        else 1
    )
    _add_flag("--xla_force_host_platform_device_count", cores)
    # XLA would use half the width of AVX512, at which depthwise convolutions are slower
    _add_flag("--xla_cpu_prefer_vector_width", 512)
    if not jax.config.values["jax_compilation_cache_dir"]:
        with suppress(RuntimeError):  # no home folder: compiled anew each time
            cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
            jax.config.update("jax_compilation_cache_dir", str(cache / "metalearn" / "xla"))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update(
        "jax_default_matmul_precision",
        {"float32": "float32", "tf32": "tensorfloat32"}.get(precision),
    )


def _add_flag(name: str, value: int) -> None:
    """Sets a flag of XLA, unless the user has."""
    given = os.environ.get("XLA_FLAGS", "")
    if name not in given:
        os.environ["XLA_FLAGS"] = f"{given} {name}={value}".strip()


def quick_jit(function: Callable[..., R]) -> Callable[..., R]:
    """`jax.jit` of a function that runs once or twice.

    On a CPU it compiles in a fraction of the time, and runs slower. Its results are those
    of `jax.jit` but for float rounding. Not for a function that another compiled one calls.

    Args:
      function: to be compiled.
    """
    return jax.jit(function, compiler_options=_quick_options())


@functools.cache
def _quick_options() -> dict[str, bool | int] | None:
    """Options of XLA that make a program soon rather than fast; None where they have no effect."""
    if jax.default_backend() != "cpu":
        return None
    wanted: dict[str, bool | int] = {
        "xla_backend_optimization_level": 0,
        # The older way of making kernels is the quicker one
        "xla_cpu_use_fusion_emitters": False,
        "xla_cpu_parallel_codegen_split_count": 1,
    }
    return {name: value for name, value in wanted.items() if _is_option(name, value)}


def _is_option(name: str, value: bool | int) -> bool:
    """Whether this version of XLA has an option."""
    try:
        jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True


def device_name() -> str:
    """The accelerator's name, or the processor's with the number of cores of this process."""
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
    """Bytes of memory of one device; the devices of a CPU share the machine's equally."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if jax.local_devices()[0].platform != "cpu" and "bytes_limit" in stats:
        return stats["bytes_limit"]
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // jax.local_device_count()


def peak_memory_mb() -> float:
    """Peak memory so far, MiB: the device's if it is counted, else the process's resident set."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if jax.local_devices()[0].platform != "cpu" and "peak_bytes_in_use" in stats:
        return round(stats["peak_bytes_in_use"] / 2**20, 1)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def compiled(program: Callable[..., tuple[T, Any]], *arguments: Any) -> T:
    """Compiles the program by a call; the state that it returns.

    Memory that compilation freed is given back to the system where the C library can do that, so
    that it does not add to the peak of the work.

    Args:
      program: returns a state and something else.
      arguments: such that the call has nothing to compute.
    """
    state, _ = program(*arguments)
    jax.block_until_ready(state)
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    return state


@functools.cache
def commit() -> str:
    """The commit of the code, at the time of the first call; `+` if tracked files differ from it.

    A copy without its repository has the commit that METALEARN_COMMIT names, else `unknown`.
    """
    root = Path(__file__).resolve().parent.parent
    given = os.environ.get("METALEARN_COMMIT") or "unknown"

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root:
            return given  # another repository, which holds a copy of this one
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
        return given


def hide_closed_loop_errors() -> None:
    """Hides one harmless message of TensorStore's threads after a failed read.

    They report to an event loop that orbax has closed by then.
    """
    shown = sys.unraisablehook

    def show(happened: "sys.UnraisableHookArgs") -> None:
        if str(happened.exc_value) != "Event loop is closed":
            shown(happened)

    sys.unraisablehook = show


class Interrupt:
    """Keeps the first SIGINT or SIGTERM in `.signal`, for the training loop to end between chunks.

    A second one ends the process at once.
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
