"""Flags of any type, for programs: absl stays in this folder."""

from collections.abc import Callable, Mapping
from typing import Any

from absl import flags

from metalearn.errors import UserError

FLAGS = flags.FLAGS
# By the type of the default
DEFINE: dict[type, Callable] = {
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    bool: flags.DEFINE_boolean,
    list: flags.DEFINE_list,
}
# In --help, a flag stands with the module that asked for it
flags.disclaim_key_flags()


def define_flag(
    name: str, default: Any, text: str, kind: type | None = None, **options: Any
) -> None:
    """Define a flag.

    Args:
      name: without dashes.
      default: its value until the user gives another; None for none.
      text: the line of help.
      kind: the type of its value; that of the default, or text where there is none.
      options: of absl's: `lower_bound` and `upper_bound` of numbers, `flag_values` to define it in.
    """
    if kind is None:
        kind = str if default is None else type(default)
    DEFINE[kind](name, default, text, **options)


def define_choice(name: str, default: str | None, choices: tuple[str, ...], text: str) -> None:
    """Define a flag whose value is one of several words.

    Args:
      name: without dashes.
      default: its value until the user gives another; None for none.
      choices: the words.
      text: the line of help.
    """
    flags.DEFINE_enum(name, default, list(choices), text)


def define_choices(name: str, choices: list[str], text: str) -> None:
    """Define a flag that may be given several times, each time as one of these; None if never."""
    flags.DEFINE_multi_enum(name, None, choices, text)


def check_read(command: str, reads: Mapping[str, tuple[str, ...]]) -> None:
    """See that every flag that is given is read.

    Args:
      command: the one that is carried out.
      reads: command -> names of the flags that it reads.

    Raises:
      UserError: a flag is given that other commands read, but not this one.
    """
    every = {name for names in reads.values() for name in names}
    for name in sorted(every.difference(reads[command])):
        if FLAGS[name].present:
            readers = ", ".join(f"`{other}`" for other, names in reads.items() if name in names)
            raise UserError(f"--{name} is of {readers}, not of `{command}`: leave it out")
