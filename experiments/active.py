"""Which images should be labelled? Simulates it where labels are known, or asks you about photos.

    python -m experiments.active --dataset=cifar100 --strategies=typiclust,auto --budget=100,200,400

compares strategies on a labelled data set: rounds from no labels, a classifier fitted in each,
gains over random choices on the same draws. A folder of your own photos is labelled by

    python -m experiments.active next DIR [--n=20]                  a CSV and contact sheets
    python -m experiments.active label DIR [ANSWERS.csv|FOLDER|TASKS.json]
    python -m experiments.active status DIR
    python -m experiments.active fit DIR --out=mine.recogniser
    python -m experiments.active export DIR --out=tasks.json        for Label Studio

(`active next --help` lists their flags). What was asked and answered is kept in DIR/.labelling, or
in --state=FOLDER. `label` takes the CSV that `next` wrote, another one, photos sorted into
FOLDER/CLASS/, or what Label Studio exported.
"""

import sys

import experiments._cli.begin  # noqa: F401  # first: it may start the program over
from experiments._cli.active import simulate_all
from experiments._cli.active_arguments import define_active
from experiments._cli.define import check_read
from experiments._cli.labelling import COMMANDS
from experiments._cli.labelling_arguments import define_labelling
from experiments._cli.start import start
from metalearn.errors import UserError

BODY = ("backbone", "weights", "cache_dir")
# Command -> the flags that it reads
READS = {
    "next": ("state", "n", "strategy", "classes", "seed", *BODY),
    "label": ("state", "new_classes"),
    "status": ("state", *BODY),
    "fit": ("state", "out", "method", "unknown_rate", "include_body", *BODY),
    "export": ("state", "out", "address", *BODY),
}


def main(*words: str) -> None:
    """Carry out a command, or simulate without one.

    Raises:
      UserError: there is no such command, a flag is of others only, or as the command.
    """
    if not words:
        simulate_all()
        return
    (command, *rest) = words
    if command not in COMMANDS:
        raise UserError(
            f"no command '{command}': choose one of {', '.join(COMMANDS)}, or give flags alone to "
            "simulate; see --help"
        )
    check_read(command, READS)
    COMMANDS[command](*rest)


if __name__ == "__main__":
    # Most flags of a simulation mean nothing to a command
    commanded = any(word in COMMANDS for word in sys.argv[1:])
    (define_labelling if commanded else define_active)()
    start(main, (), "a command and its arguments")
