"""What the programs share: flags, and one comparison from setting to row."""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks._lib.contenders import OURS, ROOT, Team, peers_python, python_path
from benchmarks._lib.measure import AGREE, Turns, agreement, compare, disagreeing, times
from benchmarks._lib.records import Row, add_row, path_of, recorded
from benchmarks._lib.roofline import Need, line, roofline
from benchmarks._lib.work import Work, tiny
from experiments._cli.define import FLAGS, define_flag
from experiments._cli.program import command_line
from experiments._cli.start import start
from metalearn.errors import UserError
from metalearn.runtime import commit


class Machine(NamedTuple):
    """What ours runs on."""

    device: str
    platform: str

    @property
    def accelerated(self) -> bool:
        """Whether that is not a CPU."""
        return self.platform != "cpu"


@functools.cache
def machine() -> Machine:
    """What ours runs on, found out in a process of its own: this one must not hold the device.

    Raises:
      UserError: JAX does not start.
    """
    code = (
        "import json, jax; from metalearn.runtime import device_name; "
        "print(json.dumps([device_name(), jax.devices()[0].platform]))"
    )
    env = {**os.environ, "PYTHONPATH": python_path()}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise UserError(f"JAX does not start here: {done.stderr.strip().splitlines()[-1]}")
    return Machine(*json.loads(done.stdout.splitlines()[-1]))


def define() -> None:
    """The flags that all programs have."""
    define_flag("rounds", 5, "rounds; in each, every contender has a turn", lower_bound=1)
    define_flag("seconds", 2.0, "about how long a turn takes", lower_bound=0)
    define_flag("steps", 0, "steps a turn [as many as fit into --seconds]", lower_bound=0)
    define_flag("peers", None, "peers to compare with, or none [all]", list)
    define_flag(
        "tiny", False, "the first setting, small, to see that it works; its times say nothing"
    )
    define_flag("again", False, "measure again what is recorded for this device and commit")
    define_flag("results_dir", "results/benchmarks", "folder of the records")


def run(main: Callable[[], None]) -> None:
    """Define the flags and run main: one-line errors, exit code 2 on a user's."""
    define()
    start(main)


def setting(benchmark: str, work: Work, case: str = "") -> Row:
    """What a row is of, and where it comes from."""
    return {
        "benchmark": benchmark,
        "method": work.method,
        "ways": work.ways,
        "shots": work.shots,
        "tasks": work.tasks,
        "inner_steps": work.inner_steps if work.method == "maml" else 0,
        "precision": work.precision,
        "case": " ".join([case, *(["tiny"] if FLAGS.tiny else [])]).strip(),
        "device": machine().device,
        "commit": commit(),
        "command": command_line(f"benchmarks.{benchmark}"),
    }


def pending(benchmark: str, work: Work, case: str = "") -> tuple[Path, Row] | None:
    """The file and the beginnings of a row still to be measured.

    None, with a line that says so, if it is there already.
    """
    row = setting(benchmark, work, case)
    path = path_of(Path(FLAGS.results_dir), benchmark, row["device"])
    if not FLAGS.again and recorded(path, row):
        print(f"{title(row)}: recorded already, passed over")
        return None
    print(f"{title(row)}:", flush=True)
    return path, row


def team_for(method: str) -> Team:
    """Ours and the peers asked for."""
    return Team(method, peers_python(), FLAGS.peers)


@functools.cache
def _agreement(work: Work) -> dict[str, float | str]:
    return agreement(team_for(work.method), work)


def title(row: Row) -> str:
    """A row's setting in words."""
    if row["benchmark"] in ("backbone", "personalise", "active"):
        return row["case"]
    steps = f", {row['inner_steps']} inner steps" if row["inner_steps"] else ""
    tasks = f"{row['tasks']} task{'s' * (row['tasks'] > 1)}"
    words = [
        row["method"],
        f"{row['ways']}-way {row['shots']}-shot",
        f"{tasks}{steps}",
        row["precision"],
        row["case"],
    ]
    return ", ".join(word for word in words if word)


def measure_row(
    benchmark: str, work: Work, least: Need, unit: str = "a step", case: str = ""
) -> None:
    """Compare on this work, check that all compute the same, print and record.

    Args:
      benchmark: name of the program.
      work: what is timed.
      least: what a step needs.
      unit: what the times are of, in words.
      case: what sets the row apart from others of this work.

    Raises:
      UserError: a peer computes something else than ours.
    """
    started = pending(benchmark, work, case)
    if started is None:
        return
    path, row = started
    few = work._replace(
        tasks=min(work.tasks, 4),
        episodes=min(work.episodes, 100),
        precision="float64",
    )
    agree = functools.partial(_agreement, few)
    turns = Turns(FLAGS.rounds, FLAGS.seconds, FLAGS.steps)
    meanwhile = agree if machine().accelerated else None
    found = compare(team_for(work.method), work, turns, meanwhile)
    row |= times(found) | {"missing": found.missing, "rounds": FLAGS.rounds, "about": found.about}
    row["differences"] = agree()
    if found.peaks and row["ours_ms"]:
        row["roofline"] = roofline(least, found.peaks, row["ours_ms"])
    show(row, unit)
    add_row(path, row)
    if wrong := disagreeing(row["differences"]):
        raise UserError(
            f"{', '.join(wrong)}: loss or meta-gradient differs from ours by {AGREE} or more, see "
            f"{path}"
        )


def show(row: Row, unit: str) -> None:
    """Print what was found."""
    for name, ms in {OURS: row["ours_ms"], **row["peers"]}.items():
        apart = row["differences"].get(name)
        agrees = f", differs from ours by {apart:.1e} (float64)" if isinstance(apart, float) else ""
        print(f"  {name}: {ms} ms {unit}{agrees}")
    show_missing(row)
    if row["ratio_to_fastest_peer"]:
        print(f"  {row['ratio_to_fastest_peer']} times as fast as the fastest peer")
    if "roofline" in row:
        print(f"  {line(row['roofline'])}", flush=True)


def show_missing(row: Row) -> None:
    """Print who was not measured, and why."""
    for name, why in row["missing"].items():
        print(f"  {name}: not measured: {why}", flush=True)


def settings(
    given: list[str] | None, default: list[str], accelerated: list[str] | None = None
) -> list[str]:
    """Those asked for; else those of this machine, with --tiny the first of them."""
    if given is not None:
        return given
    usual = accelerated if accelerated and machine().accelerated else default
    return usual[:1] if FLAGS.tiny else usual


def sized(works: Iterable[Work]) -> list[Work]:
    """The works for this machine, cut where --tiny asks for it."""
    there = [work._replace(platform="gpu" if machine().accelerated else "cpu") for work in works]
    return [tiny(work) if FLAGS.tiny else work for work in there]
