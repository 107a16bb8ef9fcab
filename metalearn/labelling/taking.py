"""Answers into the state: whose photographs they are, and what is refused."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from metalearn.data.decode import Unreadable
from metalearn.data.snapshots import read_snapshot
from metalearn.data.tree import printable
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
        self._raw = dict(files)
        self._files = {composed(name): name for name in files}
        self._exact = _by_name(((e.name, d) for d, e in state.photos.items()), raw=True)
        self._named = _by_name((each.name, digest) for digest, each in state.photos.items())
        self._digests: dict[str, str] | None = None

    def find(self, given: Given) -> tuple[str, Record]:
        """The digest of the photograph, and its record or a new one.

        Looked for by its digest; else by its name below the folder, first among those that were
        asked about; else by the end of that name: all of it where it has folders above, and the
        file's name alone where that is of one photograph only.

        Raises:
          UserError: there is none, several have its name, or it cannot be read.
        """
        if given.digest is not None:
            if given.digest in self._state.photos:
                return given.digest, self._state.photos[given.digest]
            if (known := self._by_digest().get(given.digest)) is not None:
                return self._read(given, known)
        # As `active next` wrote it, whatever is in it; else as other programs may have changed it
        photo = given.photo.strip()
        for written in (given.photo, photo):
            if written in self._exact:
                return self._one(given, self._exact[written])
            if written in self._raw:
                return self._read(given, written)
        return self._changed(given, composed(photo.removeprefix("./").replace("\\", "/")))

    def _changed(self, given: Given, name: str) -> tuple[str, Record]:
        """The photograph of a name that other programs may have changed.

        Raises:
          UserError: there is none, several have its name, or it cannot be read.
        """
        if name in self._named:
            return self._one(given, self._named[name])
        if name in self._files:
            return self._read(given, self._files[name])
        names = self._ending(name)
        if len(names) != 1:
            many = f"{len(names)} photos are named {name}" if names else f"there is no photo {name}"
            raise UserError(f"{given.where}: {many} in the folder; nothing was taken")
        (found,) = names
        if found in self._named:
            return self._one(given, self._named[found])
        return self._read(given, self._files[found])

    def _ending(self, name: str) -> set[str]:
        """Names of which one has the other at its end, the longest such; else with its last part.

        Args:
          name: with slashes.
        """
        last = name.rpartition("/")[2]
        alike = {each for each in (*self._named, *self._files) if each.rpartition("/")[2] == last}
        shared = {
            each: min(each.count("/"), name.count("/"))
            for each in alike
            if f"/{name}".endswith(f"/{each}") or f"/{each}".endswith(f"/{name}")
        }
        longest = max(shared.values(), default=0)
        return {each for each, parts in shared.items() if parts == longest} or alike

    def _by_digest(self) -> dict[str, str]:
        """The name of each photograph of the folder by its digest; read once, where it is asked."""
        if self._digests is None:
            self._digests = {}
            for name, path in self._raw.items():
                try:
                    self._digests.setdefault(digest_of(path), name)
                except UserError:  # a file that cannot be read is none that was answered
                    continue
        return self._digests

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
        path = self._raw[name]
        try:
            read_snapshot(path, LEAST)
        except Unreadable as error:
            raise UserError(
                f"{given.where}: {printable(name)} cannot be read ({error}); nothing was taken"
            ) from error
        digest = digest_of(path)
        return digest, self._state.photos.get(digest, Record(name))


def _by_name(pairs: Iterable[tuple[str, str]], raw: bool = False) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name, one in pairs:
        found[name if raw else composed(name)].append(one)
    return dict(found)


def composed(name: str) -> str:
    """A name with accents in their letters (NFC): spreadsheets and macOS differ in that."""
    return unicodedata.normalize("NFC", name)
