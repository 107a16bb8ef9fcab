"""What is to be seen to where a recogniser's file is changed."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from metalearn.data.snapshots import Snapshot
from metalearn.errors import UserError
from metalearn.personal.fitted import Fitted


def digest_of_file(file: str) -> str:
    """SHA-256 of a file; '' where it cannot be read, which is said where it is loaded."""
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


def learned_as_others(fitted: Fitted, name: str, snapshots: Sequence[Snapshot]) -> list[str]:
    """Notes on photographs that a recogniser has learned as another class."""
    pairs = zip(fitted.photos.digests, fitted.photos.labels, strict=True)
    known = {digest: fitted.classes[label] for digest, label in pairs}
    return [
        f"note: {each.name} is learned as {known[each.digest]} already"
        for each in snapshots
        if known.get(each.digest, name) != name
    ]
