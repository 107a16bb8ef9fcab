"""Test a trained run again on other episodes, shots, ways or normalisation.

`python -m experiments.evaluate --workdir=runs/omniglot-protonet-... --shots=5`. Everything else is as in the run.
"""

import dataclasses
from pathlib import Path

from experiments.flags import FLAGS, default_workdir, define, settings_given
from experiments.program import command_line, finish, open_lab, start
from metalearn.errors import UserError
from metalearn.run import re_examine
from metalearn.workdir import read_workdir

TEST_SETTINGS = (
    "ways",
    "shots",
    "queries",
    "support_copies",
    "test_inner_steps",
    "test_norms",
    "eval_seed",
    "episodes",
)


def main() -> None:
    """Read the run's configuration, change its test, make that test."""
    if not FLAGS.workdir:
        raise UserError("which run? give its folder with --workdir")
    workdir = Path(FLAGS.workdir)
    given = settings_given()
    fixed = [name for name in given if name not in TEST_SETTINGS]
    if fixed:
        raise UserError(f"--{fixed[0]} belongs to training and cannot change in a test; leave it out")
    trained = read_workdir(workdir)[0]
    config = dataclasses.replace(trained, **given)
    command = f"{command_line('experiments.evaluate')} --workdir={default_workdir(trained)}"
    finish(config, workdir, re_examine(config, open_lab(config), workdir, command))


if __name__ == "__main__":
    define(None)
    start(main)
