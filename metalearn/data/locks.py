"""What guards a cache folder: locks of processes that write, and messages where it cannot be."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metalearn.errors import UserError

TEMPORARY = ".tmp"
ELSEWHERE = "choose another cache folder (--cache_dir or $METALEARN_CACHE)"


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Turns an `OSError` while writing into a `UserError`.

    Raises:
      UserError: in place of it.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"cannot write the cache {root} ({reason}): free some space, or {ELSEWHERE}."
        ) from error


@contextmanager
def lock(root: Path, key: str) -> Iterator[None]:
    """Holds the lock of `key`, which the system releases when the process ends in any way.

    Raises:
      UserError: it cannot be opened.
    """
    with writing(root):
        descriptor = _open_lock(root / f".{key}.lock", os.O_CREAT)
    try:
        with writing(root):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _open_lock(path: Path, flags: int = 0) -> int:
    """Descriptor of a lock's file; of one that another user made, to read."""
    try:
        return os.open(path, os.O_RDWR | flags, 0o666)
    except PermissionError:
        return os.open(path, os.O_RDONLY)


def remove_stale(root: Path) -> None:
    """Removes half-written folders of killed processes: those whose lock is there, and free.

    A folder without a lock is no cache, but somebody's own.
    """
    for folder in root.glob("*" + TEMPORARY):
        path = root / f".{folder.name.removesuffix(TEMPORARY)}.lock"
        try:
            descriptor = _open_lock(path)
        except (FileNotFoundError, PermissionError):
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)
