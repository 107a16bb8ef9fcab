"""Flags made from `metalearn.config.Config`, and where things lie on the disk."""

import dataclasses
from dataclasses import fields
from pathlib import Path

from absl import flags

from metalearn.config import Config
from metalearn.presets import preset

FLAGS = flags.FLAGS

DEFINE = {int: flags.DEFINE_integer, float: flags.DEFINE_float, str: flags.DEFINE_string, bool: flags.DEFINE_boolean}


def define(default_method: str, methods: tuple[str, ...]) -> None:
    """Define every setting as a flag without a value (the preset has one until the user gives another), and places."""
    for f in fields(Config):
        if f.name == "method":
            flags.DEFINE_enum("method", default_method, list(methods), "method")
        elif f.name == "dataset":
            flags.DEFINE_string(
                "dataset", "cifar_fs", "cifar_fs, fc100, omniglot, mini_imagenet, folder, glyphs, tfds:NAME"
            )
        else:
            DEFINE[type(f.default)](
                f.name, None, f"{f.metadata['help']} [{f.default}, unless the recipe says otherwise]"
            )
    flags.DEFINE_string("data_dir", None, "folder with the dataset's files (or to download them to)")
    flags.DEFINE_string("cache_dir", None, "folder for prepared arrays [~/.cache/metalearn]")
    flags.DEFINE_string("workdir", None, "folder of the run: checkpoints, metrics, pictures [runs/<name of the run>]")
    flags.DEFINE_boolean("record", False, "write the result into results/ too")
    flags.DEFINE_string("results_dir", "results", "folder of the records")
    flags.DEFINE_integer("devices", None, "local devices to use [all]")


def config_from_flags() -> Config:
    """Defaults, then the recipe of (method, dataset, shots), then the flags given."""
    given = {f.name: FLAGS[f.name].value for f in fields(Config) if FLAGS[f.name].value is not None}
    shots = given.get("shots", Config.shots)
    recipe = preset(given["method"], given["dataset"], shots)
    return dataclasses.replace(Config(), **(recipe | given)).with_defaults()


def run_name(config: Config) -> str:
    """`<dataset>-<method>-<backbone>-<N>w<K>s-<norm>-seed<k>`."""
    shape = f"{config.ways}w{config.shots}s"
    dataset = config.dataset.replace(":", "_").replace("/", "_")
    return f"{dataset}-{config.method}-{config.backbone}-{shape}-{config.norm}-seed{config.seed}"


def workdir_from_flags(config: Config) -> Path:
    """--workdir, else a folder below runs/ named after the run."""
    return Path(FLAGS.workdir) if FLAGS.workdir else Path("runs") / run_name(config)
