"""What lies in a user's folder: visible files and folders, and names that can be printed."""

import os
from collections.abc import Iterator
from pathlib import Path
from unicodedata import category, normalize

from metalearn.errors import UserError

UNPRINTABLE = frozenset(("Cc", "Cs", "Zl", "Zp"))  # Unicode's controls, surrogates, ends of lines
# Folders that an operating system makes on a disk, most often for itself alone
SYSTEM = frozenset(
    ("lost+found", "System Volume Information", "$RECYCLE.BIN", "#recycle", "@eaDir")
)


def files_below(folder: Path) -> Iterator[Path]:
    """All visible files below `folder`; those of a folder that several links lead to, once.

    A link to a folder around it is found where it is met, by what the file system calls the
    folders on the way, and before all that lies in that folder is walked.

    Raises:
      UserError: no such folder, one that cannot be read, or one that links to a folder around it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: pass the folder of your images as --data_dir.")
    waiting = [(folder, _around(folder))]
    entered = set()
    while waiting:
        here, around = waiting.pop()
        identity = _identity(here)
        if identity in around:
            where = printable(str(here))
            raise UserError(f"{where} is nested too deeply: it links to a folder around it.")
        if identity in entered:
            continue
        entered.add(identity)
        for path in entries(here):
            if os.path.isdir(path):
                waiting.append((path, around | {identity}))
            else:
                yield path


def _around(folder: Path) -> frozenset[tuple[int, int]]:
    """The folders that a folder is in, and those that the link is in if it is one."""
    places = [folder.resolve()]
    if ".." not in folder.parts:
        link = folder.absolute()
        places.append(link.parent.resolve() / link.name)
    return frozenset(_identity(parent) for place in places for parent in place.parents)


def _identity(folder: Path) -> tuple[int, int]:
    """What tells a folder from all others, by whatever path it is reached."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def entries(folder: Path) -> list[Path]:
    """The visible files and folders in `folder`, sorted.

    Raises:
      UserError: it cannot be read.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise UserError(
            f"{printable(str(folder))} cannot be read ({error.strerror}): make it readable or take "
            "it out."
        ) from error
    return [folder / name for name in names if name[0] != "." and name not in SYSTEM]


def printable(text: str) -> str:
    """The text with escapes for what cannot be printed in a line or stored: controls, surrogates.

    Python has surrogates for the bytes of a file's name that are not UTF-8.
    """
    return "".join(
        each.encode("unicode_escape").decode() if category(each) in UNPRINTABLE else each
        for each in text
    )


def label_of(name: str) -> str:
    """The name of a class as a folder or a person writes it: printable, composed, single spaces.

    macOS writes an accent as a character of its own, which NFC composes. Of spaces alone nothing
    would be left: they stay.
    """
    shown = printable(normalize("NFC", name))
    return " ".join(shown.split()) or shown
