"""Files that are written whole or not at all, and a check that a folder can be written to."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from metalearn.errors import UserError


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Writes a file whole or not at all, and makes its folder.

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
    """Writes a text as UTF-8, whole or not at all.

    Raises:
      UserError: it cannot be written, or has characters that UTF-8 cannot encode.
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


def make_folder(folder: Path) -> None:
    """Makes a folder, and those around it.

    Raises:
      UserError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_room(folder, error) from error


def check_writable(folder: Path) -> None:
    """Makes the folder and checks that a file can be written there.

    Raises:
      UserError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Under a name of its own: other processes may check the same folder at once
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"room")
    except OSError as error:
        raise _no_room(folder, error) from error
