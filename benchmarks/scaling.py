"""Tasks a second on 1, 2, 4, ... devices of this machine: `python -m benchmarks.scaling`.

All of them are ours, in one process, with the same keys: they train on the same tasks, and the
first step's gradient is the same but for the order of float32 sums, or it is an error. A row is of
a number of devices; one stands as its peer.

A CPU is made to look like four devices: that checks that the result does not depend on their
number, and its times say nothing of how several devices scale.
"""

import os

import jax
import jax.numpy as jnp
import optax

from benchmarks._lib.contenders import OURS
from benchmarks._lib.lab import training
from benchmarks._lib.measure import Found, times
from benchmarks._lib.program import FLAGS, machine, pending, run, settings, sized
from benchmarks._lib.race import Racer, race
from benchmarks._lib.records import add_row
from benchmarks._lib.work import Work
from experiments._cli.define import define_choices, define_flag
from metalearn.errors import UserError
from metalearn.runtime import configure
from metalearn.training.gradient import make_gradient
from metalearn.training.step import task_keys
from metalearn.types import PyTree

ONE = "1 device"
METHODS = ["protonet", "maml"]
# Of the gradient's norm: sums in another order, and a maximum or a ReLU on the verge decides.
APART = 1e-2


def measure(work: Work, counts: list[int]) -> None:
    """Measure, print and record a row for every number of devices.

    Raises:
      UserError: the gradients differ.
    """
    kind = "devices" if machine().accelerated else "forced host devices"
    started = {n: pending("scaling", work, f"{n} {kind}") for n in counts}
    if not any(started.values()):
        return
    racers = {n: Racer(work, devices=n) for n in (1, *counts)}
    ms = race({str(n): racer for n, racer in racers.items()})
    one = meta_gradient(work, 1)
    for n, begun in started.items():
        if begun is None:
            continue
        path, row = begun
        row |= times(Found({OURS: ms[str(n)], ONE: ms["1"]}, {}, {}, None)) | {
            "missing": {},
            "rounds": FLAGS.rounds,
        }
        row["differences"] = {ONE: (apart := difference(meta_gradient(work, n), one))}
        rate = 1e3 * work.tasks / row["ours_ms"]
        print(
            f"  {n} {kind}: {rate:.1f} tasks/s, {row['ratio_to_fastest_peer']} times those of one; "
            f"{apart:.1e} apart"
        )
        add_row(path, row)
        if not apart < APART:
            raise UserError(f"the gradient on {n} devices differs from that on one by {apart:.1e}")


def meta_gradient(work: Work, devices: int) -> PyTree:
    """The meta-gradient of the first step, on so many devices."""
    made = training(work, devices)
    loss = made.loss
    gradient = jax.jit(make_gradient(loss, made.sample, made.lab.mesh, made.at_once))
    state = made.state()
    keys = task_keys(made.key(), state.step, jnp.arange(work.tasks))
    return jax.device_get(gradient(state.meta, keys, made.split, state.step)[2])


def difference(a: PyTree, b: PyTree) -> float:
    """|a - b| / |b| of all gradients."""
    return float(optax.tree.norm(optax.tree.sub(a, b)) / optax.tree.norm(b))


def main() -> None:
    """Measure every method, on every power of two of devices.

    Raises:
      UserError: there is one device, or the tasks cannot be shared out.
    """
    flag = "--xla_force_host_platform_device_count"
    if flag not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}=4".strip()
    configure(FLAGS.tasks, "float32")
    for work in sized(
        Work(method=method, tasks=FLAGS.tasks) for method in settings(FLAGS.method, METHODS)
    ):
        counts = [n for n in (2, 4, 8) if n <= jax.device_count() and work.tasks % n == 0]
        if not counts:
            raise UserError(
                f"one device, or {work.tasks} tasks cannot be shared out: nothing scales"
            )
        measure(work, counts)


if __name__ == "__main__":
    define_choices("method", METHODS, "method, or several [all]")
    define_flag("tasks", 8, "tasks a step", lower_bound=1)
    run(main)
