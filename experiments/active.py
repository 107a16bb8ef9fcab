"""Which photos should be labelled? Asks you about those of a folder of your own.

    python -m experiments.active next DIR [--n=20]                  a CSV and contact sheets
    python -m experiments.active label DIR [ANSWERS.csv|FOLDER|TASKS.json]
    python -m experiments.active status DIR
    python -m experiments.active fit DIR --out=mine.recogniser
    python -m experiments.active export DIR --out=tasks.json        for Label Studio

What was asked and answered is kept in DIR/.labelling, or in --state=FOLDER. `label` takes the CSV
that `next` wrote, another one, photos sorted into FOLDER/CLASS/, or what Label Studio exported.
"""

import experiments._cli.begin  # noqa: F401  # first: it may start the program over
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
    """Carry out a command.

    Raises:
      UserError: there is no such command, a flag is of others only, or as the command.
    """
    if not words:
        raise UserError(f"a command is missing: give one of {', '.join(COMMANDS)}; see --help")
    (command, *rest) = words
    if command not in COMMANDS:
        raise UserError(f"no command '{command}': choose one of {', '.join(COMMANDS)}; see --help")
    check_read(command, READS)
    COMMANDS[command](*rest)


if __name__ == "__main__":
    define_labelling()
    start(main, (), "a command and its arguments")
