"""Names of classes and photographs, as people type and send them."""

import unicodedata
from collections.abc import Sequence

from metalearn.data.snapshots import Snapshot
from metalearn.data.tree import printable
from metalearn.errors import UserError

LONGEST = 60  # characters of a class's name


def class_name(typed: str) -> str:
    """The name of a class as it is kept: composed (NFC), printable, single spaces.

    Raises:
      UserError: there is none, or it is too long.
    """
    name = " ".join(printable(unicodedata.normalize("NFC", typed or "")).split())
    if not name:
        raise UserError("what is on the photos? Type a name first, such as: my cup")
    if len(name) > LONGEST:
        raise UserError(f"this name has {len(name)} characters: give one with at most {LONGEST}")
    return name


def without_kind(line: str) -> str:
    """A line without the `note:` or `warning:` that programs begin it with."""
    return line.removeprefix("warning: ").removeprefix("note: ")


def renamed(snapshot: Snapshot, others: Sequence[Snapshot]) -> Snapshot:
    """The snapshot under a name that no other has."""
    taken = {other.name for other in others}
    name = snapshot.name
    number = 2
    while name in taken:
        name = f"{snapshot.name} ({number})"
        number += 1
    return snapshot._replace(name=name)
