"""Archives read straight into memory: nothing is extracted to disk, nothing is unpickled."""

import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from metalearn.errors import UserError

_LARGEST = 2**30  # bytes; no member of a known archive comes near it
_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
)


def damaged(path: Path, why: object) -> UserError:
    """The error for a file whose contents are wrong: which file, why, what to do."""
    reason = " ".join(str(why).split()) or type(why).__name__
    return UserError(
        f"{path} is damaged or not the official file ({reason}): delete it and start again to "
        "download it, or copy it there again."
    )


def read_tar_gz(path: Path, wanted: set[str]) -> dict[str, bytes]:
    """Contents of the `wanted` members of a .tar.gz, by name.

    The archive is read to its last byte, so that its checksum is verified.

    Raises:
      UserError: truncated or corrupt archive, a missing member, a member that points outside the
        archive.
    """
    found: dict[str, bytes] = {}
    try:
        with gzip.open(path) as raw, tarfile.open(fileobj=raw, mode="r:") as tar:
            for member in tar:
                _check_member(path, member.name, member.size)
                stream = (
                    tar.extractfile(member) if member.isreg() and member.name in wanted else None
                )
                if stream is not None:
                    found[member.name] = _read_exactly(stream, member.size)
            # The checksum of gzip stands at its end, after the last member
            while raw.read(2**20):
                pass
    except _DAMAGE as error:
        raise damaged(path, error) from error
    if missing := sorted(wanted - found.keys()):
        raise damaged(path, f"no {missing[0]} in it")
    return found


def read_zip(path: Path, suffix: str) -> Iterator[tuple[str, bytes]]:
    """Name and contents of every member whose name ends in `suffix`, sorted by name.

    Checksums are verified.

    Raises:
      UserError: truncated or corrupt archive, a member that points outside the archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(archive.infolist(), key=lambda info: info.filename)
            for info in members:
                _check_member(path, info.orig_filename, info.file_size)
            for info in members:
                if info.filename.endswith(suffix):
                    yield info.filename, archive.read(info)
    except _DAMAGE as error:
        raise damaged(path, error) from error


def _check_member(path: Path, name: str, size: int) -> None:
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts:
        raise damaged(path, f"member {name!r} points outside the archive")
    if size > _LARGEST:
        raise damaged(path, f"member {name!r} claims {size:,} bytes")


def _read_exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read()
    if len(data) != size:
        raise EOFError("the archive ends too early")
    return data
