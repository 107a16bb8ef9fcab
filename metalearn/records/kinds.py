"""Files of records that say which kind they are: names that are free, reading, writing."""

import dataclasses
import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from metalearn.errors import UserError
from metalearn.records.record import FORMAT, lineage_to_json, settings
from metalearn.records.store import write_json

# How the parts of a record are written that are not dicts of their fields
WRITTEN: dict[str, Callable[[Any], Any]] = {"config": settings, "lineage": lineage_to_json}


def free_path(folder: Path, name: str, same: Callable[[Path], bool]) -> Path:
    """`<folder>/<name>.json`, with -2, … if another test has the name.

    Args:
      folder: of the records.
      name: of the file, without its end.
      same: whether the file there is of the same test, whose record is replaced.
    """
    for number in count(1):
        path = folder / f"{name}{f'-{number}' if number > 1 else ''}.json"
        if not path.exists() or same(path):
            return path
    raise AssertionError


def write_kind(path: Path, kind: str, record: Any) -> None:
    """Write a record, whole or not at all.

    Args:
      path: of the file.
      kind: that it says.
      record: a dataclass of parts, and of the `path` that it was read from.

    Raises:
      UserError: the file cannot be written.
    """
    found: dict[str, Any] = {"format": FORMAT, "kind": kind}
    for field in dataclasses.fields(record):
        if field.name != "path":
            write = WRITTEN.get(field.name, dataclasses.asdict)
            found[field.name] = write(getattr(record, field.name))
    write_json(path, found)


def read_kind(path: Path, kind: str, parse: Callable[[dict[str, Any]], Any]) -> Any:
    """The record at path.

    Args:
      path: of the file.
      kind: that it must say.
      parse: makes the record of what was read.

    Raises:
      UserError: it is no record, or one of another kind.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        there = isinstance(found, dict) and (found.get("kind"), found.get("format"))
        if there != (kind, FORMAT):
            raise UserError(f"it is not of kind {kind}, format {FORMAT}")
        return dataclasses.replace(parse(found), path=path)
    except (OSError, ValueError, UserError) as error:
        raise UserError(
            f"{path} is no record ({error}); make the record again or delete it"
        ) from error
