"""Files that are written whole or not at all, and folders in which there is room."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from metalearn.errors import UserError


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file whole or not at all, its folder too.

    Raises:
      UserError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            write(file)
        os.replace(part, path)
    except OSError as error:
        raise _no_room(path, error) from error


def _no_room(path: Path, error: OSError) -> UserError:
    return UserError(f"cannot write {path}: {error.strerror or error}; make room or choose another folder")


def check_writable(folder: Path) -> None:
    """Make the folder and see that a file can be written there, one of its own: others may check it just now.

    Raises:
      UserError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"room")
    except OSError as error:
        raise _no_room(folder, error) from error
