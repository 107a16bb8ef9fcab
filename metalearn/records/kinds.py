"""Records by kind: where the files of a kind lie, and how they are written and read.

A kind is one line beside its dataclasses, see `Kind`. Records of few-shot tests are older than
kinds and have files of their own, see `metalearn.records.store`.
"""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, get_type_hints

from metalearn.errors import UserError
from metalearn.records.names import file_name
from metalearn.records.parse import config_from_json, lineage_from_json, part_of, typed
from metalearn.records.record import FORMAT, lineage_to_json, settings
from metalearn.records.store import free_path, write_json

# How the parts of a record are written that are not dicts of their fields
WRITTEN: dict[str, Callable[[Any], Any]] = {"config": settings, "lineage": lineage_to_json}
# And how these are read from the whole
READ: dict[str, Callable[[dict[str, Any]], Any]] = {
    "config": lambda found: config_from_json(part_of(found, "config")),
    "lineage": lambda found: lineage_from_json(found.get("lineage")),
}


class Kept(Protocol):
    """A record: a frozen dataclass of its parts, which are dataclasses, and of these two."""

    @property
    def path(self) -> Path | None:
        """The file that it was read from; None before it is written."""

    @property
    def identity(self) -> str:
        """A digest of all that makes two tests the same."""


R = TypeVar("R", bound=Kept)


@dataclass(frozen=True)
class Kind(Generic[R]):
    """A kind of records, with the files `<results>/<name>/<of>/<what>.json`.

    Attributes:
      name: of the kind, which its files say, and of its folder.
      record: its dataclass.
      place: `record -> (of, what)`, names of the inner folder and, without its end, of the file.
      check: `record -> None`, which raises `UserError` where a number is impossible.
    """

    name: str
    record: type[R]
    place: Callable[[R], tuple[str, str]]
    check: Callable[[R], None]

    def path(self, results: Path, record: R) -> Path:
        """The record's file, with -2, … in its name if another test has that.

        Args:
          results: folder of all results.
          record: to be written.

        Raises:
          UserError: a file of that name is no record.
        """
        of, what = self.place(record)
        folder = Path(results) / self.name / file_name(of)
        return free_path(folder, what, lambda path: self.read(path).identity == record.identity)

    def write(self, path: Path, record: R) -> None:
        """Write a record, whole or not at all.

        Raises:
          UserError: the file cannot be written.
        """
        found: dict[str, Any] = {"format": FORMAT, "kind": self.name}
        for name in self._parts():
            write = WRITTEN.get(name, dataclasses.asdict)
            found[name] = write(getattr(record, name))
        write_json(path, found)

    def read(self, path: Path) -> R:
        """The record at path.

        Raises:
          UserError: it is no record, or one of another kind.
        """
        try:
            return self._from_json(json.loads(path.read_text(encoding="utf-8")), path)
        except (OSError, ValueError, UserError) as error:
            raise UserError(
                f"{path} is no record ({error}); make the record again or delete it"
            ) from error

    def read_all(self, results: Path) -> list[R]:
        """All records below a folder of results, in the order of their paths.

        Raises:
          UserError: a file that is no record.
        """
        return [self.read(path) for path in sorted((Path(results) / self.name).glob("*/*.json"))]

    def _from_json(self, found: Any, path: Path) -> R:
        there = isinstance(found, dict) and (found.get("kind"), found.get("format"))
        if there != (self.name, FORMAT):
            raise UserError(f"it is not of kind {self.name}, format {FORMAT}")
        parts: dict[str, Any] = {}
        for name, part in self._parts().items():
            parts[name] = READ[name](found) if name in READ else typed(part, part_of(found, name))
        make: Callable[..., R] = self.record
        record = make(path=path, **parts)
        self.check(record)
        return record

    def _parts(self) -> dict[str, Any]:
        """The type of each part by its name."""
        hints = get_type_hints(self.record)
        return {name: part for name, part in hints.items() if name != "path"}
