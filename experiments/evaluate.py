"""Test a trained run again on other episodes, shots, ways or normalisation.

`python -m experiments.evaluate --workdir=runs/omniglot-protonet-... --shots=5`. Everything else is as in the run.
"""

import dataclasses
from pathlib import Path

from experiments.flags import FLAGS, default_workdir, define, test_settings_given
from experiments.program import command_line, finish, open_lab, start
from metalearn.errors import UserError
from metalearn.run import re_examine
from metalearn.workdir import read_workdir


def main() -> None:
    """Read the run's configuration, change its test, make that test."""
    if not FLAGS.workdir:
        raise UserError("which run? give its folder with --workdir")
    workdir = Path(FLAGS.workdir)
    given = test_settings_given()
    trained = read_workdir(workdir)[0]
    config = dataclasses.replace(trained, **given)
    command = f"{command_line('experiments.evaluate')} --workdir={default_workdir(trained)}"
    finish(config, workdir, re_examine(config, open_lab(config), workdir, command))


if __name__ == "__main__":
    define(None)
    start(main)
