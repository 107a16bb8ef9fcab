"""Flags made from `metalearn.config.Config`, and those for places and machines."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from absl import flags

from experiments._cli.begun import body_as_before, sized_as_before
from experiments._cli.define import FLAGS, define_choice, define_flag
from experiments._cli.unread import check_optimizer
from metalearn.config import Config
from metalearn.data import NAMES
from metalearn.domains.deep.registry import DEEP, SOURCE_ONLY
from metalearn.errors import UserError
from metalearn.learners.registry import preset, readers, reads
from metalearn.learners.supervised_recipes import usual_size
from metalearn.models import WITHOUT_NORM, is_pretrained
from metalearn.records.domains import OF_SOURCE
from metalearn.records.store import default_workdir
from metalearn.records.workdir import read_workdir
from metalearn.training.state import Run

MOST_SEEDS = 1000


def define(default_method: str | None, methods: tuple[str, ...] = ()) -> None:
    """Define every setting as a flag, and the flags for places and machines.

    Settings have no value by default: the recipe has one until the user gives another.
    default_method is None for programs that read method and dataset from a run's folder; methods
    are then those that may be asked for instead.
    """
    for f in fields(Config):
        text = f"{f.metadata['help']} [{f.default}, unless the recipe says otherwise]"
        if f.name not in ("method", "dataset"):
            define_flag(f.name, None, text, type(f.default))
    if methods:
        define_choice("method", default_method, methods, "method [of evaluate: the run's own]")
    if default_method is not None:
        define_dataset()
        define_flag(
            "seeds",
            1,
            "runs to train at once, with --seed and the seeds after it; a --workdir X is then "
            "X-seed<k> for each",
            lower_bound=1,
            upper_bound=MOST_SEEDS,
        )
    define_inputs()
    define_flag("test_data_dir", None, "folder with the files of --test_dataset [--data_dir]")
    define_flag(
        "workdir",
        None,
        "folder of the run: checkpoints, metrics, pictures [runs/<name of the run>]",
    )
    define_flag("record", False, "write the result into results/ too")
    define_flag("results_dir", "results", "folder of the records")
    _define_machines()


def define_dataset() -> None:
    """Define the flag of the data set."""
    define_flag("dataset", "cifar_fs", f"one of {', '.join(NAMES)}")


def define_inputs() -> None:
    """Define the flags that say where the images are."""
    define_flag("data_dir", None, "folder with the dataset's files (or to download them to)")
    define_flag("cache_dir", None, "folder for prepared arrays [~/.cache/metalearn]")


def _define_machines() -> None:
    define_flag("devices", None, "local devices to use [as many as divide --meta_batch]", int)
    define_flag(
        "tasks_per_device",
        0,
        "tasks a device works on at a time [its share; on a CPU one]",
        lower_bound=0,
    )
    define_flag(
        "stream",
        None,
        "keep images on the host and send those of coming steps [if a split is too large for a "
        "device]",
        bool,
    )
    define_flag("distributed", False, "this is one process of several, each with its own devices")
    define_flag("coordinator", None, "ADDRESS:PORT of the first process [the cluster says]")
    define_flag("num_processes", None, "how many processes there are [the cluster says]", int)
    define_flag("process_id", None, "which of them this is, from 0 [the cluster says]", int)


def settings_given() -> dict[str, Any]:
    """The settings whose flags the user gave."""
    names = [f.name for f in fields(Config) if f.name in FLAGS]
    return {name: FLAGS[name].value for name in names if FLAGS[name].value is not None}


def check_of(given: Iterable[str], method: str) -> None:
    """See that the method reads all of these settings.

    Raises:
      UserError: one of them is of other methods alone.
    """
    for name in given:
        if not reads(method, name):
            of = ", ".join(readers(name))
            raise UserError(f"--{name} is of {of}, not of {method}; leave it out")


def test_settings_given() -> dict[str, Any]:
    """The settings whose flags the user gave.

    Raises:
      UserError: one of them belongs to training.
    """
    given = settings_given()
    of_tests = [f.name for f in fields(Config) if f.metadata["test"]]
    fixed = [name for name in given if name not in (*of_tests, "method")]
    if fixed:
        raise UserError(
            f"--{fixed[0]} belongs to training and cannot change in a test; leave it out"
        )
    return given


def config_from_flags() -> Config:
    """Defaults, then the recipe of (method, dataset, shots), then the flags given.

    Raises:
      UserError: one of them is of other methods, or would not be read.
    """
    given = settings_given()
    check_of(given, FLAGS.method)
    config = trained_config(given)
    check_optimizer(given, config)
    return config


def trained_config(given: dict[str, Any]) -> Config:
    """The settings of a training that was given these: defaults, the recipe, then those given."""
    names = ("method", "dataset", "shots")
    method, dataset, shots = (given.get(k, getattr(Config, k)) for k in names)
    recipe = preset(method, dataset, shots) | body_as_before(method, given)
    return dataclasses.replace(Config(), **(recipe | given)).with_defaults()


def classifier_config(
    strategy: str, given: dict[str, Any], begun: dict[str, Any] | None = None
) -> Config:
    """The settings of a classifier of fixed classes that was given these.

    They are defaults, then the recipe, then what an earlier run says of its body, then those given.
    The recipe's size of images is of some pre-trained bodies alone, its rates of stages of all.

    Args:
      strategy: how a body becomes a classifier.
      given: by flags.
      begun: see `body_of_earlier`; None without an earlier run.
    """
    dataset = given.get("dataset", Config.dataset)
    recipe = preset(strategy, dataset, given.get("labels", Config.labels))
    said = (begun or {}) | given
    settings = recipe | said | {"method": strategy, "dataset": dataset}
    if is_pretrained(settings.get("backbone", "")) and "input_size" in recipe.keys() - said.keys():
        settings["input_size"] = usual_size(settings["backbone"])
    if not is_pretrained(settings.get("backbone", "")) and "layer_decay" not in said:
        settings.pop("layer_decay", None)
    if settings.get("backbone") in WITHOUT_NORM and "norm" not in given:
        settings["norm"] = "none"
    return dataclasses.replace(Config(), **settings)


def adapting_config(method: str, given: dict[str, Any], source: str) -> Config:
    """The settings of a body that is trained for another domain, given these.

    Args:
      method: key of `DEEP`.
      given: by flags.
      source: data set whose labels are known.
    """
    # Features cannot be turned or shifted
    own = {"augment": "none"} if given.get("bottleneck") else {}
    config = classifier_config(method, own | given | {"dataset": source})
    if not DEEP[method].trains:
        config = dataclasses.replace(config, steps=0)
    return dataclasses.replace(config, **OF_SOURCE) if method == SOURCE_ONLY else config


def body_of_earlier(folder: str) -> dict[str, Any]:
    """The settings of an earlier run that say which body it is.

    Raises:
      UserError: the folder holds no run.
    """
    there = read_workdir(Path(folder)).config
    return {name: getattr(there, name) for name in ("backbone", "norm", "input_size", "initial")}


def tested_config(trained: Config, given: dict[str, Any]) -> Config:
    """The settings of a later test, with these given, of a run.

    Another method brings its recipe's head.
    """
    method = given.get("method", trained.method)
    recipe = preset(method, trained.dataset, given.get("shots", trained.shots))
    head = {f.name: recipe.get(f.name, f.default) for f in fields(Config) if f.metadata["head"]}
    brought = {} if method == trained.method else head
    return dataclasses.replace(trained, **(brought | given))


def parsed(words: Sequence[str]) -> dict[str, Any]:
    """The settings that the words of a command give; flags that are no settings are left out.

    Raises:
      UserError: a value of another type than the setting's.
    """
    known = flags.FlagValues()
    known.set_gnu_getopt(True)
    for f in fields(Config):
        define_flag(f.name, None, "", type(f.default), flag_values=known)
    try:
        known(["", *words], known_only=True)
    except (flags.Error, ValueError) as error:
        raise UserError(f"{' '.join(words)}: {error}") from error
    return {f.name: known[f.name].value for f in fields(Config) if known[f.name].value is not None}


def runs_from_flags() -> list[Run]:
    """The run that the flags are about; with --seeds so many, each in a folder of its own.

    Raises:
      UserError: --seeds beside a flag that it does not go with.
    """
    config = sized_as_before(config_from_flags())
    folder = Path(FLAGS.workdir) if FLAGS.workdir else None
    if FLAGS.seeds == 1:
        return [Run(config, folder or default_workdir(config))]
    for name in ("distributed", "stream"):
        if FLAGS[name].value:
            raise UserError(
                f"--seeds={FLAGS.seeds} does not go with --{name}: train one seed after the other"
            )
    configs = [dataclasses.replace(config, seed=config.seed + i) for i in range(FLAGS.seeds)]
    return [
        Run(c, Path(f"{folder}-seed{c.seed}") if folder else default_workdir(c)) for c in configs
    ]
