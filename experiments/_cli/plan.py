"""What the queue of runs consists of."""

import dataclasses
import shlex
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from experiments._cli.flags import (
    adapting_config,
    body_of_earlier,
    classifier_config,
    parsed,
    tested_config,
    trained_config,
)
from experiments._cli.queue import Run, flag_words
from metalearn.classifiers.choice import AUTO
from metalearn.config import Config
from metalearn.data.cache import expanded
from metalearn.errors import UserError
from metalearn.learners.registry import reads
from metalearn.records.workdir import holds_run

SETTINGS = frozenset(Config.__dataclass_fields__)
DIVIDED = ("folder", "labelled", "tfds:", "labelled_tfds:")  # beginnings of what a seed may divide


def wanted(
    queue: list[Run], table: str, methods: set[str], seeds: int, more: str, instead: str = ""
) -> list[Run]:
    """The runs of a table in the queue, every one by its first seed before any by its second.

    Args:
      queue: all runs.
      table: whose are wanted; `all` for those of all.
      methods: whose are wanted; empty for all.
      seeds: trainings of each, one after the other; more than one is the number of draws of a
        comparison of domain adaptation.
      more: flags for the trainings whose lines do not have them; classifiers and comparisons get
        those alone that they read.
      instead: flags for all trainings, in place of what their lines have; likewise.

    Raises:
      UserError: no such table or method, flags that cannot be split, or a classifier's body that no
        record could be compared with.
    """
    tables = list(dict.fromkeys(run.table for run in queue))
    if table not in ("all", *tables):
        raise UserError(f"there is no table '{table}': choose all or one of {', '.join(tables)}")
    chosen = [run for run in queue if table in ("all", run.table)]
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
        run.with_flags(_seeded(run, s, seeds))
        .with_others(_taken(run, others))
        .with_flags(_taken(run, replaced))
        for s in range(seeds)
        for run in chosen
        if s == 0 or not run.adapts  # its line says how many seeds
    ]
    for run in rounds:
        if run.classifies and run.flags.get("backbone") == AUTO:
            raise UserError(
                f"{run.train}: a record does not tell that its body was chosen: name the body"
            )
    if seeds > 1 and any(len(run.seeds) > 1 for run in rounds if not run.adapts):
        raise UserError(f"--seeds={seeds} beside --seeds in --more: give one of them")
    numbered = [(i, one) for run in rounds for i, one in enumerate(apart(run))]
    return [run for _, run in sorted(numbered, key=itemgetter(0))]


def _seeded(run: Run, seed: int, seeds: int) -> list[str]:
    """The flags for the training by one of several seeds; a comparison has them as its draws."""
    if run.adapts:
        return [f"--draws={seeds}"][: seeds > 1]
    return [f"--seed={seed}"][: seed > 0]


def _taken(run: Run, flags: list[str]) -> list[str]:
    """Those of more flags that a run is given: not all are of all strategies and programs."""
    named = [(word.lstrip("-").partition("=")[0], word) for word in flags]
    if run.adapts:
        return [word for name, word in named if _adapts_by(run, name)]
    named = [(name, word) for name, word in named if name != "draws"]
    if not run.classifies:
        return [word for _, word in named]
    return [word for name, word in named if _takes(run.method, name)]


def _adapts_by(run: Run, name: str) -> bool:
    """Whether a comparison takes a flag: --draws, or a setting that all its methods read.

    A step takes one batch of each domain.
    """
    if name == "draws":
        return True
    if name not in SETTINGS or name == "meta_batch":
        return False
    return all(reads(method, name) for method in run.adapting)


def _takes(strategy: str, flag: str) -> bool:
    """Whether a classifier may be given a flag: one that is no setting, or that it reads."""
    name = flag if flag in SETTINGS else flag.removeprefix("no")
    if strategy == "probe" and name == "steps":
        return False  # it is fitted
    return name not in SETTINGS or reads(strategy, name)


def apart(run: Run) -> list[Run]:
    """The run, or a run for each of its seeds where no program trains them together.

    That is where the seed may decide the classes too, where images come from the host, or where
    classifiers of fixed classes are trained. A comparison of domain adaptation stays one run: its
    program trains by one seed after the other, into one record.
    """
    if len(run.seeds) == 1 or run.adapts:
        return [run]
    if run.classifies:
        return run.by_seed()
    config = trained(run)
    divided = any(name.startswith(DIVIDED) for name in (config.dataset, config.test_dataset))
    return run.by_seed() if divided or run.streamed else [run]


def trained(run: Run) -> Config:
    """The settings of its training, by the first of its seeds.

    Raises:
      UserError: a value of another type than the setting's, or an earlier run that is damaged.
    """
    given = parsed(shlex.split(run.train)[1:])
    if not run.classifies:
        return trained_config({"method": run.module} | given)
    if not given.get("init_from"):
        return classifier_config(run.method, given)
    given["init_from"] = str(expanded(given["init_from"]))
    there = holds_run(Path(given["init_from"]))
    return classifier_config(
        run.method, given, body_of_earlier(given["init_from"]) if there else None
    )


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
    """What a run consists of: its training, for every seed that this trains, and their tests.

    Of a comparison of domain adaptation: what each method leaves, of all seeds.
    """
    if run.adapts:
        given = parsed(shlex.split(run.train)[1:])
        for method in run.adapting:
            yield Step(run.train, adapting_config(method, given, run.flags["source"]))
        return
    by_seed = [dataclasses.replace(trained(run), seed=seed) for seed in run.seeds]
    for config in by_seed:
        yield Step(run.train, config)
    for config in by_seed:
        folder = f"-seed{config.seed}" if len(by_seed) > 1 else ""  # as `runs_from_flags` names it
        for test in run.tests:
            tested = tested_config(config, parsed(shlex.split(test)))
            yield Step(f"experiments.evaluate {test}", tested, folder)
