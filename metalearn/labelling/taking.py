"""Answers into the state: whose photographs they are, and what is refused."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from metalearn.data.decode import Unreadable
from metalearn.data.folder import printable
from metalearn.data.snapshots import read_snapshot
from metalearn.errors import UserError
from metalearn.labelling.folder import digest_of
from metalearn.labelling.given import SKIP, Given
from metalearn.labelling.state import Record, State

LEAST = 8  # pixels a side at which a photograph is read, to see that it can be
NAMED = 5  # corrections that are told


class Taken(NamedTuple):
    """What answers led to.

    Attributes:
      state: with them.
      new: photographs that had no answer before.
      corrected: names of those that had another, with what became of it.
      classes: that had no photograph before, sorted.
    """

    state: State
    new: int
    corrected: tuple[str, ...]
    classes: tuple[str, ...]


def take(
    state: State, answers: Sequence[Given], files: Mapping[str, Path], new_classes: bool
) -> Taken:
    """The state with answers; all of them, or an error and none.

    Args:
      state: before.
      answers: for photographs that were asked about, or others of the folder.
      files: all photographs of the folder, by name.
      new_classes: whether labels may be of classes that have no photograph so far; those of the
        first answers may in any case.

    Raises:
      UserError: a photograph that is not there or cannot be read, two answers for one, or a label
        of an unknown class.
    """
    known = state.counts
    if known and not new_classes:
        _check_classes(answers, known)
    finder = Finder(state, files)
    found: dict[str, Record] = {}
    first: dict[str, Given] = {}
    for given in answers:
        (digest, record) = finder.find(given)
        answered = answer_of(record, given.label)
        other = first.setdefault(digest, given)
        if other.label != given.label:
            raise UserError(
                f"{given.where}: {record.name} is {given.label!r}, but {other.label!r} in "
                f"{other.where}: leave one of them; nothing was taken"
            )
        found[digest] = answered
    old = {digest: state.photos.get(digest) for digest in found}
    corrected = [
        f"{each.name}: {_said(before)} -> {_said(each)}"
        for digest, each in found.items()
        if (before := old[digest]) is not None and not before.open and _said(before) != _said(each)
    ]
    taken = state.with_records(found)
    return Taken(
        state=taken,
        new=sum(before is None or before.open for before in old.values()),
        corrected=tuple(corrected),
        classes=tuple(sorted(taken.counts.keys() - known.keys())),
    )


def answer_of(record: Record, label: str) -> Record:
    """A photograph's record with a label, or with `skip`."""
    skipped = label == SKIP
    return record._replace(label=None if skipped else label, skipped=skipped)


def _said(record: Record) -> str:
    return SKIP if record.skipped else record.label or ""


def _check_classes(answers: Sequence[Given], known: Mapping[str, int]) -> None:
    for given in answers:
        if given.label not in known and given.label != SKIP:
            raise UserError(
                f"{given.where}: {given.label!r} is none of the classes so far "
                f"({', '.join(known)}): correct it, or give --new_classes; nothing was taken"
            )


class Finder:
    """Tells which photograph an answer is for.

    Args:
      state: records of photographs.
      files: all photographs of the folder, by name.
    """

    def __init__(self, state: State, files: Mapping[str, Path]):
        self._state = state
        self._files = {composed(name): path for name, path in files.items()}
        self._named = _by_name((each.name, digest) for digest, each in state.photos.items())
        self._ends = _by_name((_end(each.name), digest) for digest, each in state.photos.items())
        self._file_ends = _by_name((_end(name), composed(name)) for name in files)

    def find(self, given: Given) -> tuple[str, Record]:
        """The digest of the photograph, and its record or a new one.

        Looked for by its digest, then by its name below the folder, then by its file's name alone
        where that is of one photograph only; first among those that were asked about.

        Raises:
          UserError: there is none, several have its name, or it cannot be read.
        """
        name = composed(given.photo.removeprefix("./").replace("\\", "/"))
        if given.digest is not None:
            if given.digest in self._state.photos:
                return given.digest, self._state.photos[given.digest]
            for other in self._file_ends.get(_end(name), []):
                if digest_of(self._files[other]) == given.digest:
                    return self._read(given, other)
        if name in self._named:
            return self._one(given, self._named[name])
        if name in self._files:
            return self._read(given, name)
        if _end(name) in self._ends:
            return self._one(given, self._ends[_end(name)])
        names = self._file_ends.get(_end(name), [])
        if len(names) != 1:
            many = f"{len(names)} photos are named {name}" if names else f"there is no photo {name}"
            raise UserError(f"{given.where}: {many} in the folder; nothing was taken")
        return self._read(given, names[0])

    def _one(self, given: Given, digests: list[str]) -> tuple[str, Record]:
        """Of photographs of one name, as the file was changed, the one that was asked about last.

        Raises:
          UserError: that is not told by the name.
        """
        photos = self._state.photos
        names = {photos[digest].name for digest in digests}
        if len(names) > 1:
            raise UserError(
                f"{given.where}: {len(digests)} photos are named {given.photo}: give its name as "
                "`active next` wrote it; nothing was taken"
            )
        found = max(digests, key=lambda digest: (photos[digest].open, photos[digest].round or 0))
        return found, photos[found]

    def _read(self, given: Given, name: str) -> tuple[str, Record]:
        """A photograph of the folder that was not asked about.

        Raises:
          UserError: it cannot be read.
        """
        path = self._files[name]
        try:
            read_snapshot(path, LEAST)
        except Unreadable as error:
            raise UserError(
                f"{given.where}: {printable(name)} cannot be read ({error}); nothing was taken"
            ) from error
        digest = digest_of(path)
        return digest, self._state.photos.get(digest, Record(name))


def _by_name(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name, one in pairs:
        found[composed(name)].append(one)
    return dict(found)


def _end(name: str) -> str:
    return composed(PurePosixPath(name).name)


def composed(name: str) -> str:
    """A name with accents in their letters (NFC): spreadsheets and macOS differ in that."""
    return unicodedata.normalize("NFC", name)
