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
        # Another process may write the same file now
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            with part.open("wb") as file:
                write(file)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise _no_room(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, whole or not at all.

    Raises:
      UserError: it cannot be written, or holds half a character.
    """
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{path} would hold what is no text ({error.reason}): look for it in the records"
        ) from error
    write_whole(path, lambda file: file.write(encoded))


def _no_room(path: Path, error: OSError) -> UserError:
    return UserError(
        f"cannot write {path}: {error.strerror or error}; make room or choose another folder"
    )


def check_writable(folder: Path) -> None:
    """Make the folder and see that a file can be written there, one of its own: others may check it
    just now.

    Raises:
      UserError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"room")
    except OSError as error:
        raise _no_room(folder, error) from error
