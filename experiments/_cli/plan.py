"""What the queue of runs consists of, and what of it has no record yet."""

import dataclasses
import shlex
from collections.abc import Iterator
from operator import itemgetter
from typing import NamedTuple

from experiments._cli.flags import parsed, tested_config, trained_config
from experiments._cli.queue import Run, flag_words
from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.records.record import STAGES, Record, settings
from metalearn.training.distill import split


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
      UserError: no such table or method, or flags that cannot be split.
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
