"""Accuracy and speed of lower precisions beside float32.

`python -m benchmarks.precision [--data_dir=DIR]`

Short runs on real images, as a user has them: every precision trains from the same seed on the same
tasks, and is validated on the same episodes; no test class is touched. float32 runs a second
time from another seed: precisions that differ from it by no more than that are as good here. A CPU
computes tf32 as float32, and so leaves it out.

The archives are read from --data_dir, or from METALEARN_DATA_DIR.

Times are medians over stretches of 100 steps, of trainings one after the other. The first stretch
holds the
compilation: take three or more. In a row, the other precisions stand as peers of float32.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks._lib.contenders import OURS, ROOT
from benchmarks._lib.measure import Found, times
from benchmarks._lib.program import FLAGS, pending, run, settings
from benchmarks._lib.records import Row, add_row
from benchmarks._lib.work import Work, tiny
from experiments._cli.define import define_flag
from metalearn.errors import UserError

AGAIN = "another seed"
STEPS = 1000
RECIPES = {
    "protonet": Work(method="protonet", shots=5, tasks=1, width=64),
    "maml": Work(method="maml", shots=1, tasks=4, width=32),
}


def contenders() -> dict[str, list[str]]:
    """Flags by name, float32 first."""
    lower = settings(FLAGS.lower, ["bfloat16"], ["tf32", "bfloat16"])
    flags_of = {OURS: ["--precision=float32"], AGAIN: ["--precision=float32", "--seed=1"]}
    return flags_of | {p: [f"--precision={p}"] for p in lower}


def number_of_steps() -> int:
    """Steps of each training."""
    return FLAGS.steps or (4 if FLAGS.tiny else STEPS)


def dataset() -> str:
    """Name of the dataset that is trained on."""
    return FLAGS.dataset or ("glyphs" if FLAGS.tiny else "cifar_fs")


def words(work: Work, folder: Path) -> list[str]:
    """Words of the training's command, but for its precision."""
    steps = number_of_steps()
    given: dict[str, object] = {
        "dataset": dataset(),
        "ways": work.ways,
        "shots": work.shots,
        "train_ways": work.ways,
        "train_queries": work.queries,
        "meta_batch": work.tasks,
        "backbone": f"conv4-{work.width}",
        "steps": steps,
        "valid_every": steps,
        "valid_episodes": 4 if FLAGS.tiny else FLAGS.episodes,
        "episodes": 2,  # the least possible: the test is not used
        "workdir": folder,
    }
    if data_dir := FLAGS.data_dir or os.environ.get("METALEARN_DATA_DIR"):
        given["data_dir"] = data_dir
    return [f"experiments.{work.method}", *(f"--{name}={value}" for name, value in given.items())]


def train(work: Work, name: str, more: list[str]) -> tuple[list[float], list[float]]:
    """Milliseconds of a step in every row of the metric log; validation accuracy and its 95 % CI.

    Raises:
      UserError: the training failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", *words(work, Path(folder) / "run"), *more]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"{name}: {done.stderr.strip().splitlines()[-1]}")
        rows = [
            json.loads(line)
            for line in (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()
        ]
    ms = [1e3 * work.tasks / row["tasks_per_s"] for row in rows if "tasks_per_s" in row]
    (valid,) = [row for row in rows if "valid_accuracy" in row][-1:]
    return ms, [valid["valid_accuracy"], valid["valid_ci95"]]


def measure(work: Work) -> None:
    """Measure, print and record one row."""
    started = pending("precision", work, f"{dataset()}, {number_of_steps()} steps")
    if started is None:
        return
    path, row = started
    ms: dict[str, list[float]] = {}
    accuracy: dict[str, list[float]] = {}
    for name, more in contenders().items():
        each, accuracy[name] = train(work, name, more)
        if name != AGAIN:
            ms[name] = [median(each)]
        score, ci = (100 * value for value in accuracy[name])
        label = work.precision if name == OURS else name
        print(f"  {label}: {median(each):.1f} ms, {score:.2f} ± {ci:.2f} %", flush=True)
    extra: Row = {"accuracy": accuracy, "missing": {}, "rounds": 1}
    add_row(path, row | times(Found(ms, {}, {}, None)) | extra)


def main() -> None:
    """Measure every method that is asked for.

    Raises:
      UserError: an unknown method.
    """
    methods = settings(FLAGS.methods, list(RECIPES))
    for method in methods:
        if method not in RECIPES:
            raise UserError(f"unknown method '{method}': choose of {', '.join(RECIPES)}")
    for method in methods:
        work = RECIPES[method]
        measure(tiny(work)._replace(ways=2) if FLAGS.tiny else work)


if __name__ == "__main__":
    define_flag("methods", None, "methods to train [all]", list)
    define_flag(
        "lower", None, "precisions beside float32 [bfloat16; on an accelerator tf32,bfloat16]", list
    )
    define_flag(
        "dataset", None, "real images [cifar_fs; glyphs with --tiny, which need no archive]"
    )
    define_flag("data_dir", None, "as in the experiments")
    define_flag("episodes", 2000, "of validation", lower_bound=2)
    run(main)
