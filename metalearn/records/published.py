"""Published numbers, read from results/published.csv with every cell checked."""

import csv
import io
from pathlib import Path
from typing import NamedTuple

from metalearn.errors import UserError


class Published(NamedTuple):
    """A row of published.csv, with accuracy and ci95 as their source writes them, in percent."""

    dataset: str
    method: str
    backbone: str
    ways: str
    shots: str
    accuracy: str
    ci95: str
    spread: str
    transductive: str
    kind: str
    protocol: str
    source: str

    @property
    def apart(self) -> bool:
        """Whether it was trained on more than the training classes: not to be compared with."""
        return any(
            word in self.protocol for word in ("external data", "pre-trained", "train + validation")
        )

    @property
    def number(self) -> str:
        """`48.70 ± 1.84`."""
        return self.accuracy + (
            f" ± {self.ci95}" if self.ci95 else f" (± {self.spread})" if self.spread else ""
        )


def read_published(path: Path) -> list[Published]:
    """The rows of published.csv.

    Raises:
      UserError: no such file, or a row with a wrong cell.
    """
    try:
        header, *lines = csv.reader(io.StringIO(path.read_text(encoding="utf-8")), strict=True)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}; it comes with the repository") from error
    if tuple(header) != Published._fields:
        raise UserError(f"{path}: the first line must be {','.join(Published._fields)}")
    for number, line in enumerate(lines, 2):
        wrong = _wrong_line(line)
        if wrong:
            raise UserError(f"{path}, line {number}: {wrong}; put it right")
    return [Published(*line) for line in lines]


def _wrong_line(line: list[str]) -> str | None:
    if len(line) != len(Published._fields):
        return f"{len(line)} cells, not {len(Published._fields)}"
    row = Published(*line)
    if not (row.ways.isdecimal() and row.shots.isdecimal()):
        return "ways and shots must be whole numbers"
    for name, value in (("accuracy", row.accuracy), ("ci95", row.ci95 or "0")):
        try:
            fine = 0 <= float(value) <= 100
        except ValueError:
            fine = False
        if not fine:
            return f"{name} '{value}' is no percentage"
    if row.transductive not in ("yes", "no", "unknown") or row.kind not in ("published", "rerun"):
        return "transductive is yes, no or unknown, kind is published or rerun"
    return (
        None
        if row.method and row.backbone and row.source
        else "method, backbone and source must not be empty"
    )
