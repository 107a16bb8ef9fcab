"""Whether another process has changed a recogniser's file that is to be replaced."""

import hashlib
from pathlib import Path

from metalearn.errors import UserError


def digest_of_file(file: str) -> str:
    """SHA-256 of a file; '' where it cannot be read, which is said where it is loaded."""
    if not Path(file).is_file():  # a device may have no end
        return ""
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return ""


def check_same(file: str, before: str, out: Path) -> None:
    """See that no other process has changed a file that is to be replaced.

    Raises:
      UserError: one has.
    """
    if out.exists() and out.samefile(file) and digest_of_file(file) != before:
        raise UserError(
            f"{file} was changed by another process meanwhile: nothing was written; give the same "
            "command again"
        )
