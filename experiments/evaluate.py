"""Test a trained run again: on other episodes, shots or ways, by other normalisation or head.

`python -m experiments.evaluate --workdir=runs/omniglot-protonet-... --shots=5`. Everything else is
as in the run. One pre-trained body serves all methods that are fitted to its features:
`--method=simpleshot`, say, on a run of rfs.
"""

from pathlib import Path

import experiments._cli.begin  # noqa: F401  # first: it may start the program over
from experiments._cli.define import FLAGS
from experiments._cli.flags import check_of, define, test_settings_given, tested_config
from experiments._cli.lab import check_few_shot, tested_lab
from experiments._cli.program import command_line, finish, made_in
from experiments._cli.start import start
from metalearn.errors import UserError
from metalearn.learners.registry import METHODS
from metalearn.records.workdir import read_workdir
from metalearn.retest import test_again


def main() -> None:
    """Reads the run's configuration, changes its test, and makes that test.

    Raises:
      UserError: no run is given, or its test cannot be made.
    """
    if not FLAGS.workdir:
        raise UserError("which run? give its folder with --workdir")
    workdir = Path(FLAGS.workdir)
    given = test_settings_given()
    run = read_workdir(workdir)
    trained = run.config
    check_few_shot(workdir, trained)
    check_of(given, given.get("method", trained.method))
    config = tested_config(trained, given)
    command = f"{command_line('experiments.evaluate')} --workdir={made_in(run, workdir)}"
    finish(workdir, test_again(config, tested_lab(config, workdir), workdir, command))


if __name__ == "__main__":
    define(None, tuple(METHODS))
    start(main)
