"""Make a recogniser of your own things from a few photographs of each, and ask it about others.

    python -m experiments.personalise fit DIR --out=mine.recogniser      photos in DIR/CLASS/
    python -m experiments.personalise predict mine.recogniser IMAGE|DIR ...
    python -m experiments.personalise add mine.recogniser --class=NAME IMAGE|DIR ...
    python -m experiments.personalise remove mine.recogniser --class=NAME
    python -m experiments.personalise show mine.recogniser
    python -m experiments.personalise evaluate mine.recogniser [DIR]     photos in DIR/CLASS/
    python -m experiments.personalise export mine.recogniser --format=onnx --out=mine.onnx
    python -m experiments.personalise page [mine.recogniser]             all this in the browser

The recogniser is one file. `add` and `remove` write it anew, or another one with --out. Names that
begin with a dash come after `--`.
"""

import experiments._cli.begin  # noqa: F401  # first: it may start the program over
from experiments._cli.define import check_read
from experiments._cli.personal import COMMANDS
from experiments._cli.personal_arguments import define_personal
from experiments._cli.start import start
from metalearn.errors import UserError

# Command -> the flags that it reads
READS = {
    "fit": (
        "out",
        "method",
        "backbone",
        "workdir",
        "views",
        "weights",
        "unknown_rate",
        "unlabelled",
        "adapt",
        "include_body",
        "cache_dir",
    ),
    "predict": ("weights", "json", "csv"),
    "add": ("out", "class", "weights", "include_body"),
    "remove": ("out", "class", "weights", "include_body"),
    "show": (),
    "evaluate": ("weights",),
    "export": ("out", "weights", "format", "int8", "check"),
    "page": ("weights", "host", "port", "browser"),
}


def main(command: str, *words: str) -> None:
    """Carry out a command.

    Raises:
      UserError: there is no such command, a flag is of others only, or as the command.
    """
    if command not in COMMANDS:
        raise UserError(f"no command '{command}': choose one of {', '.join(COMMANDS)}; see --help")
    check_read(command, READS)
    COMMANDS[command](*words)


if __name__ == "__main__":
    define_personal()
    start(main, ("a command",), "its arguments")
