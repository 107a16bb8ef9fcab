"""Findings: a text whose numbers are filled in from records."""

import re
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from metalearn.errors import UserError
from metalearn.records.cells import measured, shown
from metalearn.records.record import Record
from metalearn.records.report import Row


def named_records(root: Path, datasets: dict[str, list[Row]]) -> dict[str, list[Record]]:
    """Records by name, `<dataset>/<file's stem>`.

    Without its `-seed<k>`, a name stands for all seeds of its row: `x-seed0` and `x-seed1` are also
    `x`, second records `x-seed0-2` and `x-seed1-2` also `x-2`.
    """
    named: dict[str, list[Record]] = {}
    for side in (side for rows in datasets.values() for row in rows for side in row if side):
        for r in side:
            assert r.path is not None  # it was read from there
            name = str(r.path.relative_to(root).with_suffix(""))
            named[name] = [r]
            short = re.sub(rf"-seed{r.config.seed}(-\d+)?$", r"\1", name)
            if short != name:
                named[short] = side if named.get(short, side) is side else []  # of two rows
    return named


def filled(
    path: Path, records: dict[str, list[Record]], numbers: Mapping[str, float] | None = None
) -> str:
    """The text at path with its numbers filled in; empty if there is none.

    {record} becomes its accuracy, and {record - record} a difference in points. A record's name
    without its seed stands for the mean over seeds, if they are in one row.

    Args:
      path: of the text.
      records: few-shot records by name.
      numbers: shares of 1 by name, of other records; two of them have a difference too.

    Raises:
      UserError: the text names a record that is not there, or is not UTF-8.
    """
    others_known = numbers or {}

    def number(named: re.Match) -> str:
        names = named[1].split(" - ")
        if all(name in others_known for name in names):
            first_value, *rest = (others_known[name] for name in names)
            points = f"{100 * (first_value - rest[0]):+.2f}" if rest else ""
            return points or shown(first_value, 2, 100)
        if missing := [name for name in names if not records.get(name)]:
            raise UserError(f"{path}: there is no record {missing[0]}: make it or change the text")
        first, *others = (records[name] for name in names)
        values = [fmean(r.measured.accuracy for r in side) for side in (first, *others)]
        return f"{100 * (values[0] - values[1]):+.2f}" if others else measured(first)

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8 ({error.reason}): write it anew") from error
    return re.sub(r"\{([^{}]+)\}", number, text)
