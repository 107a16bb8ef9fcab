"""Make the records that a table still lacks, most informative first, within a budget of time.

The same command continues later.

`python -m experiments.reproduce --table=cifar_fs [--methods=maml,rfs] [--seeds=3] [--budget=10m]`.
Every run is a program of this project by its published recipe (`experiments/queue.txt`, or
--queue), with further tests of what it trained; one is done when there is a record of each
normalisation with the very settings that its command has. `--seeds=3` trains by one seed after the
other, `--more=--seeds=3` by three at once, where a program takes that. Records go to --results_dir,
checkpoints and logs to --runs_dir; `--list` only says what is missing. `experiments.tables` then
writes the tables. Of --more and --instead, classifiers of fixed classes and comparisons of domain
adaptation get what they read; of these comparisons, --seeds is the number of draws.
"""

import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import experiments._cli.begin  # noqa: F401  # first: it may start the program over
from experiments._cli.define import FLAGS, define_flag
from experiments._cli.done import missing, records_like
from experiments._cli.flags import MOST_SEEDS
from experiments._cli.plan import Step, wanted
from experiments._cli.queue import QUEUE, read_queue
from experiments._cli.start import start
from metalearn.errors import UserError
from metalearn.files import check_writable

LEAST_SECONDS = 10.0  # no run is started with fewer seconds left
STOPPED = 128 + signal.SIGTERM  # exit status of a command whose time was up
STOP_SECONDS = 120.0  # seconds for a run to save and end after SIGTERM


def seconds(budget: str) -> float:
    """`90`, `90s`, `10m` or `2h`, in seconds.

    Raises:
      UserError: anything else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", budget)
    if not found:
        raise UserError(f"--budget={budget} is no time: write 90s, 10m or 2h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def places(workdir: Path) -> list[str]:
    """Flags for the folders of data, caches, checkpoints and records."""
    given = [
        f"--{name}={FLAGS[name].value}" for name in ("data_dir", "cache_dir") if FLAGS[name].value
    ]
    return [*given, f"--workdir={workdir}", "--record", f"--results_dir={FLAGS.results_dir}"]


def perform(command: str, workdir: Path, end: float) -> int:
    """Runs a command until it ends or time is up; its exit status, or that of SIGTERM.

    Args:
      command: a program of `experiments` and its flags.
      workdir: folder of the run; output goes to `<workdir>.log`.
      end: when time is up, by time.monotonic.
    """
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
            return STOPPED
        except BaseException:  # Ctrl-C reached it too, a SIGTERM did not
            end_process(process)
            raise


def end_process(process: subprocess.Popen) -> None:
    """Sends SIGTERM, upon which a run saves and ends; kills it if it has not after a while."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def make(name: str, todo: list[Step], end: float) -> int | None:
    """Makes what a run lacks, until a command does not end well.

    Args:
      name: of the run.
      todo: its steps without a record.
      end: when time is up, by time.monotonic.

    Returns:
      The exit status of the last command; None where no time was left for one.
    """
    status = 0
    for command, _, folder in todo:
        if status:
            break
        if end - time.monotonic() < LEAST_SECONDS:
            return None
        workdir = Path(FLAGS.runs_dir) / f"{name}{folder}"
        begin = time.monotonic()
        status = perform(command, workdir, end)
        said = {0: "done", STOPPED: "stopped by the budget, to be continued"}
        print(
            f"{name}{folder}, {command.split()[0]}: "
            f"{said.get(status, f'failed, see {workdir}.log')} "
            f"({time.monotonic() - begin:.0f} s)",
            flush=True,
        )
    return status


def main() -> None:
    """Makes what is missing, one command after the other, until time is up.

    Raises:
      UserError: a flag cannot be right, or runs failed.
    """
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
        todo = missing(run, records_like(run, root))
        if FLAGS.list or not todo:
            print(f"{run.name}: {'missing' if todo else 'done'}", flush=True)
            continue
        status = make(run.name, todo, end)
        if status is None:
            print(f"the budget of {FLAGS.budget} is spent; the same command continues")
            break
        failed += status not in (0, STOPPED)
    if failed:
        raise UserError(f"{failed} of {len(queue)} runs failed; their logs in {runs} say why")


if __name__ == "__main__":
    define_flag("table", "cifar_fs", "dataset of the table, or all")
    define_flag("queue", str(QUEUE), "file of the runs, most valuable first")
    define_flag("methods", [], "only these methods [all]")
    define_flag("seeds", 1, "trainings of each run", lower_bound=1, upper_bound=MOST_SEEDS)
    define_flag("budget", "1h", "time to spend: 90s, 10m, 2h")
    define_flag(
        "more",
        "",
        "more flags for every training, as one word: '--seeds=3 --precision=tf32'; what a line of "
        "the queue gives stays as it is",
    )
    define_flag("instead", "", "the same, in place of what a line gives: '--steps=2'")
    define_flag("list", False, "only say what is there and what is missing")
    define_flag("data_dir", None, "as in the experiments")
    define_flag("cache_dir", None, "as in the experiments")
    define_flag("results_dir", "results", "folder of the records")
    define_flag("runs_dir", "runs", "folder of checkpoints and logs")
    start(main)
