"""Run what a table still lacks, most informative first, within a budget; later calls go on.

`python -m experiments.reproduce --table=cifar_fs [--methods=maml,rfs] [--seeds=3] [--budget=10m]`.
Every run is a program of this project by its published recipe (`experiments/queue.txt`, or
--queue), with further tests of what it trained; one is done when there is a record with the very
settings that its command has. `--seeds=3` trains by one seed after the other, `--more=--seeds=3`
by three at once, where a program takes that. Records go to --results_dir, checkpoints and logs to
--runs_dir; `--list` only says what is missing. `experiments.tables` then writes the tables.
"""

import dataclasses
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from absl import flags

import experiments._cli.begin  # noqa: F401  # first: it may start the program over
from experiments._cli.flags import MOST_SEEDS, parsed, tested_config, trained_config
from experiments._cli.program import start
from experiments._cli.queue import QUEUE, Run, flag_words, read_queue
from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.files import check_writable
from metalearn.records.record import STAGES, Record, settings
from metalearn.records.report import read_records
from metalearn.training.distill import split

FLAGS = flags.FLAGS
LEAST = 10.0  # seconds left in which nothing new is begun
PATIENCE = 120.0  # seconds for a run that was told to stop


def seconds(budget: str) -> float:
    """`90`, `90s`, `10m` or `2h` in seconds.

    Raises:
      UserError: anything else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", budget)
    if not found:
        raise UserError(f"--budget={budget} is no time: write 90s, 10m or 2h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def wanted(
    queue: list[Run], table: str, methods: set[str], seeds: int, more: str, instead: str = ""
) -> list[Run]:
    """The runs of a table in the queue, every one by its first seed before any by its second.

    Args:
      queue: all runs.
      table: whose are wanted; `all` for those of all.
      methods: whose are wanted; empty for all.
      seeds: trainings of each, one after the other.
      more: flags for the trainings whose lines do not have them.
      instead: flags for all trainings, in place of what their lines have.

    Raises:
      UserError: no such table or method.
    """
    tables = list(dict.fromkeys(run.flags["dataset"] for run in queue))
    if table not in ("all", *tables):
        raise UserError(f"there is no table '{table}': choose all or one of {', '.join(tables)}")
    chosen = [run for run in queue if table in ("all", run.flags["dataset"])]
    unknown = methods - {method for run in chosen for method in run.methods}
    if unknown:
        raise UserError(
            f"no run of table {table} is about {', '.join(sorted(unknown))}: see --list"
        )
    if methods:
        chosen = [run.about(methods) for run in chosen if run.methods & methods]
    others = flag_words("more", more)
    replaced = flag_words("instead", instead)
    rounds = [
        run.with_flags([f"--seed={s}"][: s > 0]).with_others(others).with_flags(replaced)
        for s in range(seeds)
        for run in chosen
    ]
    if seeds > 1 and any(len(run.seeds) > 1 for run in rounds):
        raise UserError(f"--seeds={seeds} beside --seeds in --more: give one of them")
    numbered = [(i, one) for run in rounds for i, one in enumerate(apart(run))]
    return [run for _, run in sorted(numbered, key=itemgetter(0))]


def apart(run: Run) -> list[Run]:
    """The run, or a run for each of its seeds where no program trains them together.

    That is where the seed decides the classes too, or where images come from the host.
    """
    if len(run.seeds) == 1:
        return [run]
    classes = {split(dataclasses.replace(trained(run), seed=seed)) for seed in run.seeds}
    return [run] if len(classes) == 1 and not run.streamed else run.by_seed()


def trained(run: Run) -> Config:
    """The settings of its training, by the first of its seeds."""
    return trained_config({"method": run.module} | parsed(shlex.split(run.train)[1:]))


class Step(NamedTuple):
    """A command of a run.

    Attributes:
      command: module and flags.
      config: the settings of the record that it leaves.
      folder: what the name of the folder that it works in has behind the run's.
    """

    command: str
    config: Config
    folder: str = ""


def steps(run: Run) -> Iterator[Step]:
    """What a run consists of: its training, for every seed that this trains, and their tests."""
    by_seed = [dataclasses.replace(trained(run), seed=seed) for seed in run.seeds]
    for config in by_seed:
        yield Step(run.train, config)
    for config in by_seed:
        folder = f"-seed{config.seed}" if len(by_seed) > 1 else ""  # as `runs_from_flags` names it
        for test in run.tests:
            tested = tested_config(config, parsed(shlex.split(test)))
            yield Step(f"experiments.evaluate {test}", tested, folder)


def missing(run: Run, records: list[Record]) -> list[Step]:
    """The steps of a run whose records are not there, each command once."""
    lacking: dict[tuple[str, str], Step] = {}
    for step in steps(run):
        if not any(_of(record, step.config) for record in records):
            lacking.setdefault((step.command, step.folder), step)
    return list(lacking.values())


def _of(record: Record, config: Config) -> bool:
    """Whether a record is of a test with these settings."""
    roles = {name for name in STAGES if getattr(config, name)}
    norms = config.test_norms.split(",") if config.test_norms else [record.test.norm]
    same = settings(record.config) == settings(config)
    return same and record.roles == roles and record.test.norm in norms


def places(workdir: Path) -> list[str]:
    """Flags that say where things lie."""
    given = [
        f"--{name}={FLAGS[name].value}" for name in ("data_dir", "cache_dir") if FLAGS[name].value
    ]
    return [*given, f"--workdir={workdir}", "--record", f"--results_dir={FLAGS.results_dir}"]


def perform(command: str, workdir: Path, end: float) -> int:
    """Run a command until `end` (of time.monotonic) at most; its exit status, or SIGTERM's."""
    words = [sys.executable, "-m", *shlex.split(command), *places(workdir)]
    workdir.parent.mkdir(parents=True, exist_ok=True)
    with (
        Path(f"{workdir}.log").open("ab") as log,
        subprocess.Popen(words, stdout=log, stderr=log) as process,
    ):
        try:
            return process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            end_process(process)
            return 128 + signal.SIGTERM
        except BaseException:  # Ctrl-C reached it too, a SIGTERM did not
            end_process(process)
            raise


def end_process(process: subprocess.Popen) -> None:
    """Tell it to stop, upon which it saves; kill it if it does not."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> None:
    """Go through the queue."""
    root = Path(FLAGS.results_dir)
    runs = Path(FLAGS.runs_dir)
    end = time.monotonic() + seconds(FLAGS.budget)
    queue = wanted(
        read_queue(Path(FLAGS.queue)),
        FLAGS.table,
        set(FLAGS.methods),
        FLAGS.seeds,
        FLAGS.more,
        FLAGS.instead,
    )
    if not FLAGS.list:
        check_writable(root)
    elif not root.is_dir():
        raise UserError(f"--results_dir={root}: there is no such folder")
    failed = 0
    for run in queue:
        workdir = runs / run.name
        todo = missing(run, read_records(root))
        if FLAGS.list or not todo:
            print(f"{run.name}: {'missing' if todo else 'done'}", flush=True)
            continue
        for command, _, folder in todo:
            if end - time.monotonic() < LEAST:
                print(f"the budget of {FLAGS.budget} is spent; the same command goes on")
                return
            begin = time.monotonic()
            status = perform(command, Path(f"{workdir}{folder}"), end)
            said = {0: "done", 143: "stopped by the budget, to be gone on with"}
            print(
                f"{run.name}{folder}, {command.split()[0]}: "
                f"{said.get(status, f'failed, see {workdir}{folder}.log')} "
                f"({time.monotonic() - begin:.0f} s)",
                flush=True,
            )
            if status:
                failed += status != 143
                break
    if failed:
        raise UserError(f"{failed} of {len(queue)} runs failed; their logs in {runs} say why")


if __name__ == "__main__":
    flags.DEFINE_string("table", "cifar_fs", "dataset of the table, or all")
    flags.DEFINE_string("queue", str(QUEUE), "file of the runs, most valuable first")
    flags.DEFINE_list("methods", [], "only these methods [all]")
    flags.DEFINE_integer("seeds", 1, "trainings of each run", lower_bound=1, upper_bound=MOST_SEEDS)
    flags.DEFINE_string("budget", "1h", "time to spend: 90s, 10m, 2h")
    flags.DEFINE_string(
        "more",
        "",
        "more flags for every training, as one word: '--seeds=3 --precision=tf32'; what a line of "
        "the queue gives stays as it is",
    )
    flags.DEFINE_string("instead", "", "the same, in place of what a line gives: '--steps=2'")
    flags.DEFINE_boolean("list", False, "only say what is there and what is missing")
    flags.DEFINE_string("data_dir", None, "as in the experiments")
    flags.DEFINE_string("cache_dir", None, "as in the experiments")
    flags.DEFINE_string("results_dir", "results", "folder of the records")
    flags.DEFINE_string("runs_dir", "runs", "folder of checkpoints and logs")
    start(main)
