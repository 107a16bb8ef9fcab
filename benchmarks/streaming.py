"""Training from images on the host beside training from images on the device.

`python -m benchmarks.streaming [--tasks=4]`

Both are ours, in one process, with the same keys: they train on the same tasks, and end with the
same weights to the bit, or it is an error. A row's time is a step's from the host; the device's
stands as a peer. BENCHMARK_IMAGES names a file to stream from, [C,M,H,W,Ch] uint8; without one the
images lie in memory.
"""

import jax

from benchmarks._lib.contenders import OURS
from benchmarks._lib.measure import Found, times
from benchmarks._lib.program import FLAGS, pending, run, settings, sized
from benchmarks._lib.race import Racer, race
from benchmarks._lib.records import add_row
from benchmarks._lib.work import Work
from experiments._cli.define import define_flag
from metalearn.errors import UserError
from metalearn.runtime import configure

DEVICE = "images on the device"


def measure(work: Work) -> None:
    """Measure, print and record one row.

    Raises:
      UserError: the weights differ.
    """
    started = pending("streaming", work)
    if started is None:
        return
    path, row = started
    racers = {OURS: Racer(work, stream=True), DEVICE: Racer(work)}
    ms = race(racers)
    row |= times(Found(ms, {}, {}, None)) | {"missing": {}, "rounds": FLAGS.rounds}
    print(
        f"  from the host {row['ours_ms']} ms, from the device {row['peers'][DEVICE]} ms",
        flush=True,
    )
    add_row(path, row)
    ours, theirs = (racer.state.meta for racer in racers.values())
    if not jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), ours, theirs)):
        raise UserError("weights trained from the host differ from those trained from the device")


def main() -> None:
    """Measure both methods, with every number of tasks."""
    tasks = settings(FLAGS.tasks, ["4"], ["4", "32"])
    configure(min(map(int, tasks)), "float32")
    for work in sized(
        Work(method=method, tasks=int(t)) for method in ("protonet", "maml") for t in tasks
    ):
        measure(work)


if __name__ == "__main__":
    define_flag("tasks", None, "tasks a step [4; on an accelerator 4,32]", list)
    run(main)
