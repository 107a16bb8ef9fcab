"""Records of benchmarks: `<root>/<benchmark>-<device>.json`, a list of rows.

There is one row for each setting, the latest.
"""

import json
import re
import time
from pathlib import Path
from typing import Any

from metalearn.errors import UserError
from metalearn.records.store import write_json

Row = dict[str, Any]
# What a row is of
SETTING = (
    "benchmark",
    "method",
    "ways",
    "shots",
    "tasks",
    "inner_steps",
    "precision",
    "case",
)


def path_of(root: Path, benchmark: str, device: str) -> Path:
    """Where the rows of a benchmark on a device are."""
    return root / f"{benchmark}-{re.sub('[^a-z0-9]+', '-', device.lower()).strip('-')}.json"


def read_rows(path: Path) -> list[Row]:
    """The rows of a file; none if there is none.

    Raises:
      UserError: it is no such file.
    """
    if not path.exists():
        return []
    try:
        rows = json.loads(path.read_text())["rows"]
        assert all(isinstance(row, dict) and set(SETTING) <= set(row) for row in rows)
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise UserError(
            f"{path} is no record of a benchmark; move it away and measure again"
        ) from error
    return rows


def same_setting(a: Row, b: Row) -> bool:
    """Whether both are of one thing measured."""
    return all(a[name] == b[name] for name in SETTING)


def recorded(path: Path, row: Row) -> bool:
    """Whether this setting is in the file, measured at this commit."""
    return any(same_setting(row, r) and r["commit"] == row["commit"] for r in read_rows(path))


def add_row(path: Path, row: Row) -> None:
    """Write the row in place of an earlier one of its setting, behind all others."""
    kept = [r for r in read_rows(path) if not same_setting(row, r)]
    write_json(path, {"rows": [*kept, row | {"date": time.strftime("%Y-%m-%d", time.gmtime())}]})
