"""What was asked of a person and answered: a value, and its one file.

The file is JSON, written whole or not at all, so a process that is killed leaves the state before
or the state after. A photograph is known by the SHA-256 of its file: it may be renamed or moved.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from metalearn.errors import UserError
from metalearn.files import write_text

FILE = "state.json"
VERSION = 1
SHA256 = 64  # hexadecimal digits


class Record(NamedTuple):
    """A photograph that was asked about, or labelled without.

    Attributes:
      name: below the folder of photographs, with slashes.
      round: in which it was asked about, from 1; None where it was labelled without.
      label: its class; None where there is no answer.
      skipped: whether it is never to be asked about again, without a label.
      guess: what the head took it for when it was asked about; None where there was no head.
    """

    name: str
    round: int | None = None
    label: str | None = None
    skipped: bool = False
    guess: str | None = None

    @property
    def open(self) -> bool:
        """Whether an answer is awaited."""
        return self.label is None and not self.skipped


class Round(NamedTuple):
    """A time at which photographs were asked about.

    Attributes:
      at: when, in UTC.
      strategy: that chose them.
    """

    at: str
    strategy: str


@dataclass(frozen=True)
class State:
    """All that was asked and answered. Nothing changes a state: a step gives another one.

    Attributes:
      photos: by the SHA-256 of their files, hexadecimal, in the order they were asked about.
      rounds: the first one first.
      taken: SHA-256 of the CSV of questions whose answers were taken last; '' for none.
    """

    photos: Mapping[str, Record] = field(default_factory=dict)
    rounds: tuple[Round, ...] = ()
    taken: str = ""

    @property
    def open(self) -> dict[str, Record]:
        """Photographs whose answers are awaited."""
        return {digest: each for digest, each in self.photos.items() if each.open}

    @property
    def labelled(self) -> dict[str, str]:
        """The class of each photograph that has one."""
        pairs = ((digest, each.label) for digest, each in self.photos.items())
        return {digest: label for digest, label in pairs if label is not None}

    @property
    def counts(self) -> dict[str, int]:
        """Labelled photographs of each class, by name."""
        return dict(sorted(Counter(self.labelled.values()).items()))

    @property
    def skipped(self) -> int:
        """Photographs that are never asked about again."""
        return sum(each.skipped for each in self.photos.values())

    def asking(self, new: Mapping[str, Record], this: Round) -> "State":
        """The state once further photographs are asked about."""
        number = len(self.rounds) + 1
        asked = {digest: each._replace(round=number) for digest, each in new.items()}
        return replace(self, photos={**self.photos, **asked}, rounds=(*self.rounds, this))

    def with_records(self, some: Mapping[str, Record]) -> "State":
        """The state with some records in place of those there were."""
        return replace(self, photos={**self.photos, **some})


def save_state(state: State, folder: Path) -> None:
    """Write the state into its folder, whole or not at all.

    Raises:
      UserError: it cannot be written.
    """
    photos = {digest: each._asdict() for digest, each in state.photos.items()}
    rounds = [each._asdict() for each in state.rounds]
    contents = {"version": VERSION, "taken": state.taken, "rounds": rounds, "photos": photos}
    write_text(folder / FILE, json.dumps(contents, indent=1) + "\n")


def load_state(folder: Path) -> State:
    """The state of a folder; one in which nothing was asked where there is no file.

    Raises:
      UserError: it cannot be read, is damaged, or of a newer version.
    """
    path = folder / FILE
    try:
        found = json.loads(path.read_bytes())
        if isinstance(found, dict) and type(version := found["version"]) is int:
            if version > VERSION:
                raise UserError(
                    f"{path} is of version {version}, newer than this program: update it"
                )
        return _state(found)
    except FileNotFoundError:
        return State()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{path} is damaged ({said}): put a copy of it in its place, or move it away to begin "
            "anew"
        ) from error


def _state(found: Any) -> State:
    """The state that JSON holds.

    Raises:
      ValueError, KeyError, TypeError, AttributeError: it holds none.
    """
    if found["version"] != VERSION:
        raise ValueError(f"version {found['version']!r}")
    rounds = tuple(_round(each) for each in found["rounds"])
    photos = {digest: _record(digest, each) for digest, each in found["photos"].items()}
    for each in photos.values():
        if each.round is not None and not 1 <= each.round <= len(rounds):
            raise ValueError(f"{each.name}: round {each.round} of {len(rounds)}")
    taken = found.get("taken", "")  # of an earlier version without
    if not isinstance(taken, str):
        raise ValueError(f"taken {taken!r}")
    return State(photos, rounds, taken)


def _round(found: Any) -> Round:
    return Round(_text(found["at"], "at"), _text(found["strategy"], "strategy"))


def _record(digest: str, found: Any) -> Record:
    hexadecimal = len(digest) == SHA256 and not set(digest) - set("0123456789abcdef")
    if not hexadecimal:
        raise ValueError(f"{digest[:SHA256]!r} is no SHA-256")
    name = _text(found["name"], "name")
    number = found["round"]
    if number is not None and type(number) is not int:
        raise ValueError(f"{name}: round {number!r}")
    if type(found["skipped"]) is not bool:
        raise ValueError(f"{name}: skipped {found['skipped']!r}")
    (label, guess) = (
        None if found[key] is None else _text(found[key], key) for key in ("label", "guess")
    )
    if label is not None and found["skipped"]:
        raise ValueError(f"{name}: skipped, and labelled {label}")
    return Record(name, number, label, found["skipped"], guess)


def _text(value: Any, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key}: {value!r}")
    return value
