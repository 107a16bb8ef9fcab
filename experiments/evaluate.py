"""Test a trained run again on other episodes, shots, ways or normalisation, or with another method's head.

`python -m experiments.evaluate --workdir=runs/omniglot-protonet-... --shots=5`. Everything else is as in the run.
One pre-trained body serves all methods that are fitted to its features: `--method=simpleshot`, say, on a run of rfs.
"""

import dataclasses
from pathlib import Path

from experiments.flags import FLAGS, check_of, default_workdir, define, test_settings_given
from experiments.program import command_line, finish, open_lab, start
from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.presets import DEFAULTS, preset
from metalearn.run import re_examine
from metalearn.workdir import read_workdir

RECIPE_SETTINGS = ("support_copies", "transform", "inner_lr", "test_inner_steps")  # what a method brings to a test


def main() -> None:
    """Read the run's configuration, change its test, make that test."""
    if not FLAGS.workdir:
        raise UserError("which run? give its folder with --workdir")
    workdir = Path(FLAGS.workdir)
    given = test_settings_given()
    trained = read_workdir(workdir)[0]
    check_of(given, given.get("method", trained.method))
    config = dataclasses.replace(trained, **(head_recipe(trained, given) | given))
    command = f"{command_line('experiments.evaluate')} --workdir={default_workdir(trained)}"
    finish(config, workdir, re_examine(config, open_lab(config), workdir, command))


def head_recipe(trained: Config, given: dict) -> dict:
    """What the recipe of another method than the run's says about its head; nothing for the run's own."""
    method = given.get("method", trained.method)
    if method == trained.method:
        return {}
    recipe = preset(method, trained.dataset, given.get("shots", trained.shots))
    return {name: recipe.get(name, getattr(Config, name)) for name in RECIPE_SETTINGS}


if __name__ == "__main__":
    define(None, tuple(DEFAULTS))
    start(main)
