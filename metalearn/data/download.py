"""Official files: found in the data folder, or downloaded to it."""

import hashlib
import logging
import stat
from collections.abc import Sequence
from pathlib import Path

from metalearn.data.source import RemoteFile
from metalearn.errors import UserError


def fetch(files: tuple[RemoteFile, ...], folder: Path) -> None:
    """Downloads those of `files` that are not in `folder`.

    A download is checked against the official digest, and appears under its name only when it is
    whole.

    Raises:
      UserError: no network, wrong contents, or a folder that cannot be written.
    """
    for file in files:
        if not (folder / file.name).is_file():
            _download(file, folder)


def _download(file: RemoteFile, folder: Path) -> None:
    try:
        import pooch
    except ImportError as error:
        raise UserError(_by_hand(file, folder, "pooch is not installed")) from error
    try:
        target = folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        pooch.get_logger().setLevel("WARNING")  # the progress bar shows the download
        progress = pooch.HTTPDownloader(progressbar=True, timeout=60)
        pooch.retrieve(
            file.url, file.digest, fname=target.name, path=target.parent, downloader=progress
        )
    except OSError as error:  # requests' exceptions are OSErrors too, with very long messages
        raise UserError(_by_hand(file, folder, error.strerror or type(error).__name__)) from error
    except ValueError as error:
        raise UserError(_by_hand(file, folder, "what came is not the official file")) from error


def _by_hand(file: RemoteFile, folder: Path, why: str) -> str:
    return (
        f"{file.name} is not in {folder} and could not be downloaded ({why}): get {file.url} "
        "and put it there."
    )


def check_digests(files: tuple[RemoteFile, ...], folder: Path) -> None:
    """Warns of each file that is not byte for byte the official one.

    Not an error: the reader has verified the contents, which another archive may hold as well.
    """
    for file in files:
        kind, _, official = file.digest.partition(":")
        with open(folder / file.name, "rb") as stream:
            if hashlib.file_digest(stream, kind).hexdigest() != official:
                logging.getLogger(__name__).warning(
                    "%s: right contents, but not byte for byte the official file (%s differs).",
                    folder / file.name,
                    kind,
                )


def fingerprint(folder: Path, files: tuple[RemoteFile, ...]) -> str:
    """Names, sizes and modification times of `files` below `folder`, hashed.

    Raises:
      UserError: a file that cannot be read.
    """
    return hash_of(identities(folder, [folder / file.name for file in files]))


def identities(folder: Path, paths: Sequence[Path]) -> list[tuple[str, int, int]]:
    """Name relative to `folder`, size (bytes) and modification time (ns) of each of `paths`.

    Raises:
      UserError: a file that cannot be read, such as a broken link, or that is not a regular file:
        opening a pipe would wait for ever.
    """
    found = []
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise UserError(
                f"{path} cannot be read ({error.strerror}): repair it or take it out."
            ) from error
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path} is no file but a pipe, a socket or a device: take it out.")
        found.append((path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns))
    return found


def hash_of(*parts: object) -> str:
    """12 hexadecimal digits that identify `parts`."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
