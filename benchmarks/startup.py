"""From nothing to the first outer step of MAML, ours beside others'.

`python -m benchmarks.startup [--rounds=5]`

Every time is a fresh process's; its data is a memory-mapped file, as ours and its peers' would be.
A row's time ends with the first step. Its parts: `start` of the interpreter, `import`, `ready`
(data on the device, parameters drawn), `first_step` (with compilation, where there is any), and
`second_step`, for comparison. Case `cold` has an empty compilation cache (ours and jax-meta's),
case `warm` the one that an earlier process left.
"""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks._lib.contenders import OURS, ROOT, Failed, Team, python_path
from benchmarks._lib.measure import Found, times
from benchmarks._lib.program import FLAGS, pending, run, show_missing, sized, team_for
from benchmarks._lib.records import add_row
from benchmarks._lib.work import Work, images

Parts = dict[str, float]


def launch(team: Team, name: str, work: Work, data: Path, cache: Path) -> Parts:
    """Milliseconds of each part of one process's life.

    Args:
      team: the contenders.
      name: whose process it is.
      work: what it makes a step of.
      data: file of the images.
      cache: folder of its compilation cache.

    Raises:
      Failed: it made no step.
    """
    python, dash, module = team.commands[name]
    words = [
        python,
        dash,
        "benchmarks.first_step",
        module,
        json.dumps(work._asdict()),
        *team.arguments[name],
    ]
    variables = {
        "PYTHONPATH": python_path(),
        "BENCHMARK_IMAGES": str(data),
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    begin = time.time()
    try:
        done = subprocess.run(
            words, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True
        )
    except OSError as error:
        raise Failed(f"cannot start {python}: {error.strerror}") from error
    if done.returncode:
        raise Failed((done.stderr.strip().splitlines() or ["ended without a message"])[-1][:200])
    clock = [begin, *(marks := json.loads(done.stdout.splitlines()[-1])).values()]
    return {part: 1e3 * (b - a) for part, a, b in zip(marks, clock, clock[1:], strict=False)}


def rounds(
    team: Team, work: Work, case: str, folder: Path
) -> tuple[dict[str, list[Parts]], dict[str, str]]:
    """Every contender's processes, in turn, and who is missing and why.

    Args:
      team: the contenders.
      work: what they make a step of.
      case: `cold` or `warm`.
      folder: of the images and the compilation caches.
    """
    data = folder / "images.npy"
    found: dict[str, list[Parts]] = {}
    missing: dict[str, str] = {}
    for turn in range(FLAGS.rounds + (case == "warm")):
        for name in team.commands:
            cache = folder / (f"{name}-cold-{turn}" if case == "cold" else f"{name}-warm")
            try:
                parts = launch(team, name, work, data, cache)
            except Failed as failed:
                missing[name] = (
                    f"{failed}; {team.notes[name]}" if name in team.notes else str(failed)
                )
                continue
            if turn or case == "cold":  # the first of the warm ones fills the cache
                found.setdefault(name, []).append(parts)
    return found, missing


def measure(work: Work, case: str, folder: Path) -> None:
    """Measure, print and record one row."""
    started = pending("startup", work, case)
    if started is None:
        return
    path, row = started
    found, missing = rounds(team_for("maml"), work, case, folder)
    until = {
        name: [sum(p.values()) - p["second_step"] for p in parts] for name, parts in found.items()
    }
    row |= times(Found(until, {}, missing, None), digits=1) | {
        "missing": missing,
        "rounds": FLAGS.rounds,
    }
    row["parts"] = {
        name: {k: round(median(p[k] for p in ps), 1) for k in ps[0]} for name, ps in found.items()
    }
    for name, ms in {OURS: row["ours_ms"], **row["peers"]}.items():
        print(f"  {name}: {ms} ms {row['parts'].get(name, '')}")
    show_missing(row)
    add_row(path, row)


def main() -> None:
    """Measure with a cold, then with a warm compilation cache."""
    (work,) = sized([Work()])
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "images.npy", images(work))
        for case in ("cold", "warm"):
            measure(work, case, Path(folder))


if __name__ == "__main__":
    run(main)
