"""Answers, wherever they come from: what they have in common, and texts of any encoding."""

import codecs
from pathlib import Path
from typing import NamedTuple

from metalearn.data.tree import label_of, printable
from metalearn.errors import UserError

SKIP = "skip"  # in the place of a label: never ask about this photograph again
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LARGEST = 2**28  # bytes of a file of answers


class Given(NamedTuple):
    """An answer for a photograph.

    Attributes:
      where: it stands, for messages: `row 3 of answers.csv`.
      photo: name of the photograph.
      label: its class, or `skip`; never empty.
      digest: SHA-256 of its file, where that is known.
    """

    where: str
    photo: str
    label: str
    digest: str | None = None


def label_name(text: str) -> str:
    """A class's name as it is kept, see `label_of`, of one line; maybe empty."""
    name = label_of(" ".join(text.split()))
    return SKIP if name.casefold() == SKIP else name


def read_text(path: Path) -> str:
    """A file's text, of UTF-8, UTF-16 or Windows' Western European, with line ends of any kind.

    Raises:
      UserError: it cannot be read, or is no text.
    """
    shown = printable(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError as error:
        raise UserError(f"there is no file {shown}") from error
    except OSError as error:
        raise UserError(f"{shown} cannot be read: {error.strerror or error}") from error
    if len(data) > LARGEST:
        raise UserError(f"{shown} has more than {LARGEST >> 20} MiB: give answers alone")
    text = _decoded(data)
    if "\0" in text:
        raise UserError(f"{shown} is no text: give a CSV, a folder of class folders, or JSON")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decoded(data: bytes) -> str:
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    # Without a mark: of Latin letters in UTF-16, every other byte is zero
    if len(data) > 1 and data.count(0) > len(data) // 4:
        return data.decode("utf-16-le" if data[1] == 0 else "utf-16-be", errors="replace")
    for encoding in ("utf-8", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            pass
    return data.decode("latin-1")
