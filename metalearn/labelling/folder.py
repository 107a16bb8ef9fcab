"""A folder of photographs, and the folder in which their labelling is kept."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metalearn.data.decode import PICTURES, Unreadable
from metalearn.data.folder import find_images
from metalearn.data.photo_file import contents
from metalearn.data.tree import printable
from metalearn.errors import UserError
from metalearn.files import check_writable

USUAL = ".labelling"  # below the photographs; hidden, so that nothing takes it for a class
LOCK = "lock"
# Files of ours whose writing was cut off
PARTS = ("state.json.*.part", "next.csv.*.part", "next-*.png.*.part")


def state_folder(photos: Path, given: str | None) -> Path:
    """Where the state of a folder of photographs is kept.

    Raises:
      UserError: there is no such folder of photographs, or a file where the state should be.
    """
    if not photos.is_dir():
        raise UserError(f"there is no folder {printable(str(photos))}: give that of your photos")
    folder = Path(given).expanduser() if given else photos / USUAL
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{printable(str(folder))} is a file: give a folder as --state")
    if folder.resolve() == photos.resolve():
        raise UserError(f"--state={folder} is the folder of the photos: give another one")
    return folder


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes from changing a state; the system lets go if this one is killed.

    Raises:
      UserError: another process holds it, or the folder cannot be written.
    """
    check_writable(folder)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for part in (each for pattern in PARTS for each in folder.glob(pattern)):
            part.unlink(missing_ok=True)  # nobody writes them any more
        yield
    except BlockingIOError as error:
        raise UserError(
            f"another process works with {folder}: wait until it has ended; nothing was changed"
        ) from error
    finally:
        os.close(descriptor)


def find_all(photos: Path, state: Path) -> dict[str, Path]:
    """Photographs below a folder by name, sorted; without those of the state's own folder.

    A name is the path below the folder, with slashes and printable.

    Raises:
      UserError: there is none, or a folder that cannot be read.
    """
    own = state.resolve()
    outside = not own.is_relative_to(photos.resolve())
    paths = find_images(photos, PICTURES)
    found = {
        printable(path.relative_to(photos).as_posix()): path
        for path in paths
        if outside or not path.resolve().is_relative_to(own)
    }
    if not found:
        raise UserError(
            f"{printable(str(photos))} has no photo: none of its files ends like one, as in .jpg"
        )
    return found


def digest_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal.

    Raises:
      UserError: it cannot be read.
    """
    try:
        return hashlib.sha256(contents(path)).hexdigest()
    except Unreadable as error:
        raise UserError(f"{printable(str(path))} cannot be read: {error}") from error
