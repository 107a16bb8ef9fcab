"""Peak memory of MAML against inner steps and tasks, ours beside others'.

`python -m benchmarks.memory [--inner_steps=1,5,10,20] [--tasks=4] [--shots=5]`

The device's peak where there is an accelerator, else the process's peak resident set, libraries and
data included; both in MiB, in a fresh process after two outer steps, programs compiled by a process
before it. `resting` is the peak before the first step. Images are mapped from a file, as those of
prepared datasets are.
"""

import os
import tempfile
from pathlib import Path

import numpy as np

from benchmarks._lib.contenders import OURS, Failed
from benchmarks._lib.measure import Found, peak, times
from benchmarks._lib.program import FLAGS, pending, run, settings, show_missing, sized, team_for
from benchmarks._lib.records import add_row
from benchmarks._lib.work import Work, images
from experiments._cli.define import define_flag


def measure(work: Work) -> None:
    """Measure, print and record one row."""
    started = pending("memory", work)
    if started is None:
        return
    path, row = started
    team = team_for("maml")
    found = {}
    missing = {}
    for name in team.commands:
        try:
            found[name] = peak(team, name, work)
        except Failed as failed:
            missing[name] = str(failed)
    peaks = Found({name: [after] for name, (_, after) in found.items()}, {}, missing, None)
    row |= times(peaks, "mib", 1) | {"missing": missing, "rounds": 1}
    row["resting"] = {name: round(before, 1) for name, (before, _) in found.items()}
    for name, mib in {OURS: row["ours_mib"], **row["peers"]}.items():
        print(f"  {name}: {mib} MiB ({row['resting'].get(name)} at rest)")
    show_missing(row)
    add_row(path, row)


def main() -> None:
    """Measure every combination that is asked for, in order."""
    tasks = settings(FLAGS.tasks, ["4"], ["4", "32"])
    steps = settings(FLAGS.inner_steps, ["1", "5", "10", "20"])
    with tempfile.TemporaryDirectory() as cache:
        os.environ |= {
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        works = sized(
            Work(shots=FLAGS.shots, tasks=int(t), inner_steps=int(j)) for t in tasks for j in steps
        )
        np.save(Path(cache) / "images.npy", images(works[0]))
        os.environ["BENCHMARK_IMAGES"] = str(Path(cache) / "images.npy")
        for work in works:
            measure(work)


if __name__ == "__main__":
    define_flag("inner_steps", None, "inner steps [1,5,10,20]", list)
    define_flag("tasks", None, "tasks a step [4; on an accelerator 4,32]", list)
    define_flag("shots", 5, "labelled images a class")
    run(main)
