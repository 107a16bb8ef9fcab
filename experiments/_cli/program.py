"""What every experiment does around its run: data, training, records, the summary."""

import dataclasses
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments._cli.flags import FLAGS, define, runs_from_flags
from experiments._cli.lab import HOSTS, on_devices, open_body, open_lab, open_test_lab, set_up
from experiments._cli.places import FOLDERS, check_run_folder
from experiments._cli.start import start
from metalearn.config import Config
from metalearn.learners.registry import ADAPTATION, STRATEGIES
from metalearn.parallel import first
from metalearn.records.domains_store import adaptation_run, trained_workdir
from metalearn.records.labelled_store import labelled_workdir
from metalearn.records.record import Record
from metalearn.records.store import (
    default_workdir,
    read_counts,
    record_path,
    write_counts,
    write_record,
)
from metalearn.records.workdir import Saved, read_workdir
from metalearn.run import check_together, execute, prepare, summary
from metalearn.settings import STAGES
from metalearn.training.state import Run

PLACES = (*FOLDERS, *HOSTS)
FETCHED = ("data_dir", "cache_dir")
# The command of a recipe of several stages ends with the folder of all
RECIPE = re.compile(r"-m experiments\.best .*--workdir=(\S+)$")
SWITCHES = ("record", "norecord", "distributed", "nodistributed")


def program(module: str, default_method: str, methods: tuple[str, ...]) -> None:
    """Run `python -m <module>`, an experiment that trains one of `methods`."""
    define(default_method, methods)
    start(lambda: train_and_test(module))


def train_and_test(module: str) -> None:
    """Load, run, record, say."""
    runs = runs_from_flags()
    command = command_line(module)
    check_together(runs)
    for run in runs:
        check_run_folder(run.workdir)
    config = runs[0].config
    carry_out(runs, continued(command, config))


def continued(command: str, config: Config) -> str:
    """The command after those that made the runs that it begins from.

    Their folders are those that these commands make without --workdir, on any machine.

    Raises:
      UserError: a folder that the settings name holds no run.
    """
    for name in STAGES:
        if before := getattr(config, name):
            other = read_workdir(Path(before))
            command = f"{other.command} && {command} --{name}={made_in(other, Path(before))}"
    return command


def made_in(run: Saved, workdir: Path) -> Path:
    """The folder of a run that its command makes, wherever it was made here.

    Args:
      run: what its folder says.
      workdir: that folder, which of a recipe of several stages has the stage's name.
    """
    if recipe := RECIPE.search(run.command):
        return Path(recipe[1]) / workdir.name
    config = run.config
    if config.method in ADAPTATION:
        return trained_workdir(config) / adaptation_run(config)
    return labelled_workdir(config) if config.method in STRATEGIES else default_workdir(config)


def carry_out(runs: Sequence[Run], command: str, later: Sequence[Config] = ()) -> None:
    """Train and test runs that differ in their seeds alone; write records, report what was found.

    Args:
      runs: the runs.
      command: that the records hold.
      later: settings of trainings that are to follow on the same images: what does not fit these
        is found before the first one begins.

    Raises:
      UserError: settings, weights or images that do not fit, or as `metalearn.run.execute`.
    """
    set_up(runs[0].config)
    config, body = open_body(runs[0].config)
    configs = [
        dataclasses.replace(run.config, backbone=config.backbone, weights=config.weights)
        for run in runs
    ]
    runs = [run._replace(config=other) for run, other in zip(runs, configs, strict=True)]
    lab = open_lab(config, body)
    tested_on = open_test_lab(config, lab.inputs) if config.test_dataset else None
    for other in later:
        here = on_devices(other, lab)
        prepare(other, here, tested_on or here)
    for run, records in zip(runs, execute(runs, lab, command, tested_on), strict=True):
        finish(run.workdir, records)


def finish(workdir: Path, records: list[Record]) -> None:
    """Write the records where --record asks for it, and say what was found."""
    if not first():
        return
    for record in records if FLAGS.record else []:
        path = record_path(Path(FLAGS.results_dir), record)
        assert record.path is not None  # it lies in the run's folder
        write_counts(path, read_counts(record.path))
        write_record(path, record)
        print(f"recorded: {path}")
    places = [f"--{name}={FLAGS[name].value}" for name in FETCHED if FLAGS[name].present]
    print(summary(records, workdir, "".join(f" {shlex.quote(place)}" for place in places)))


def command_line(module: str) -> str:
    """The command as typed, without the places of this machine."""
    words = []
    given = iter(sys.argv[1:])
    for word in given:
        name, equals, value = word.lstrip("-").partition("=")
        if name in PLACES:
            if not equals:
                next(given, None)  # its value
        elif name == "weights":  # the name of the file says which; its folder is this machine's
            words.append(f"--weights={Path(value if equals else next(given, '')).name}")
        elif name not in SWITCHES:
            words.append(word)
    return shlex.join(["python", "-m", module, *words])
