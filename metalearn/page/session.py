"""What one person at the page has given and got: photographs, a recogniser, a question.

Nothing changes a session: every step gives another one. No gradio here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from metalearn.data.snapshots import (
    Snapshot,
    duplicates_across,
    read_snapshots,
)
from metalearn.errors import UserError
from metalearn.page.names import class_name, renamed, without_kind
from metalearn.page.watched import Report, watched, watching
from metalearn.personal.changing import added, learned_elsewhere, removed
from metalearn.personal.fitted import Fitted
from metalearn.personal.fitting import fit
from metalearn.personal.model import Maker
from metalearn.personal.reading import said

MOST_AT_ONCE = 200  # photographs
MOST_WAITING = 2000  # photographs
MOST_CLASSES = 200
Thumbnails = Mapping[tuple[str, str], bytes]


@dataclass(frozen=True, eq=False)
class Session:
    """One person's work at the page.

    Attributes:
      waiting: photographs of each class that are not learned yet.
      fitted: the recogniser; None before the first learning.
      asked: the photograph that it was last asked about.
      thumbnails: of photographs given here, by class and name; a recogniser keeps but a few.
    """

    waiting: Mapping[str, tuple[Snapshot, ...]] = field(default_factory=dict)
    fitted: Fitted | None = None
    asked: Snapshot | None = None
    thumbnails: Thumbnails = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, learned or waiting, sorted."""
        learned = () if self.fitted is None else self.fitted.classes
        return tuple(sorted({*learned, *self.waiting}))


class Step(NamedTuple):
    """What a step led to, and what there is to say of it, a line each."""

    session: Session
    notes: tuple[str, ...] = ()


def with_photos(session: Session, name: str, paths: Sequence[Path], size: int) -> Step:
    """The session with photographs of a class, to be learned; those that cannot be read are noted.

    Args:
      session: before.
      name: of the class, as typed.
      paths: of the files.
      size: pixels a side that the model takes.

    Raises:
      UserError: no name, no photograph that can be read, or too many.
    """
    name = class_name(name)
    _check_number(session, name, paths)
    (found, refused) = read_snapshots(paths, size)
    notes = [said(by_name(refused))] if refused else []
    if not found:
        raise UserError(notes[0])
    own = session.waiting.get(name, ())
    digests = {snapshot.digest for snapshot in own} | _learned(session, name)
    new: list[Snapshot] = []
    for snapshot in found:
        if snapshot.digest in digests:
            continue
        digests.add(snapshot.digest)
        new.append(renamed(snapshot, [*own, *new, *_like(session.fitted, name, snapshot)]))
    if len(new) < len(found):
        notes.append(f"{len(found) - len(new)} of these photos are in {name} already")
    if not new:
        return Step(session, tuple(notes))
    taken = with_snapshots(session, name, new)
    notes += [
        f"{snapshot.name} ({name}): {', '.join(snapshot.doubts)}"
        for snapshot in new
        if snapshot.doubts
    ]
    notes += map(without_kind, duplicates_across(taken.waiting))
    notes += _learned_as_others(session, name, new)
    return Step(taken, tuple(notes))


def with_snapshots(session: Session, name: str, new: Sequence[Snapshot]) -> Session:
    """The session with further photographs of a class, whose names no other one of it has."""
    waiting = {**session.waiting, name: (*session.waiting.get(name, ()), *new)}
    given = {(name, snapshot.name): snapshot.thumbnail for snapshot in new}
    return replace(session, waiting=waiting, thumbnails={**session.thumbnails, **given})


def without_snapshot(session: Session, name: str, digest: str) -> Session:
    """The session without a photograph of a class that is not learned yet."""
    own = session.waiting.get(name, ())
    gone = {(name, each.name) for each in own if each.digest == digest}
    left = tuple(each for each in own if each.digest != digest)
    waiting = {**session.waiting, name: left}
    thumbnails = {key: each for key, each in session.thumbnails.items() if key not in gone}
    return replace(
        session,
        waiting={other: some for other, some in waiting.items() if some},
        thumbnails=thumbnails,
    )


def _check_number(session: Session, name: str, paths: Sequence[Path]) -> None:
    if not paths:
        raise UserError(f"no photos of {name} yet: drop some into the box, or take some")
    if len(paths) > MOST_AT_ONCE:
        raise UserError(f"{len(paths)} photos at once: give at most {MOST_AT_ONCE}, then more")
    if sum(map(len, session.waiting.values())) + len(paths) > MOST_WAITING:
        raise UserError(f"more than {MOST_WAITING} photos are waiting: let them be learned first")
    if name not in session.classes and len(session.classes) >= MOST_CLASSES:
        raise UserError(f"{MOST_CLASSES} classes are the most this page takes")


def by_name(refused: Sequence) -> list:
    """Without the folders that uploads lie in."""
    return [one._replace(path=Path(one.path.name)) for one in refused]


def _learned(session: Session, name: str) -> set[str]:
    """Digests of the photographs that a class has learned."""
    if session.fitted is None:
        return set()
    photos = session.fitted.photos
    pairs = zip(photos.digests, photos.labels, strict=True)
    return {digest for digest, label in pairs if session.fitted.classes[label] == name}


def _learned_as_others(session: Session, name: str, new: Sequence[Snapshot]) -> list[str]:
    """Warnings of photographs that another class has learned."""
    if session.fitted is None:
        return []
    return [
        f"the same photo in 2 classes: {each.name} ({name}) is learned as {other}"
        for each, other in learned_elsewhere(session.fitted, name, new)
    ]


def without_class(session: Session, name: str) -> Step:
    """The session without a class.

    Raises:
      UserError: the recogniser would have one class left.
    """
    waiting = {other: some for other, some in session.waiting.items() if other != name}
    thumbnails = {key: each for key, each in session.thumbnails.items() if key[0] != name}
    fitted = session.fitted
    if fitted is not None and name in fitted.classes:
        if len(fitted.classes) <= 2:
            raise UserError(
                f"{name} is one of only two that are learned: let a third be learned first, or "
                "start again"
            )
        fitted = removed(fitted, name)
    return Step(replace(session, waiting=waiting, fitted=fitted, thumbnails=thumbnails))


def learned(session: Session, maker: Maker, report: Report) -> Step:
    """The session with all that was waiting learned.

    Args:
      session: before.
      maker: of a first recogniser's model.
      report: is told how many photographs are looked at, and of how many.

    Raises:
      UserError: nothing waits, or there are not two classes.
    """
    if not session.waiting:
        raise UserError("there is nothing new to learn: add photos first")
    if len(session.classes) < 2:
        raise UserError(
            f"so far there is only {session.classes[0]}: add photos of a second thing, to tell "
            "them apart"
        )
    if session.fitted is None:
        fitted = fit(watching(maker, report), session.waiting)
        model = maker(fitted.counts).model
        return Step(replace(session, waiting={}, fitted=replace(fitted, model=model)))
    return Step(replace(session, waiting={}, fitted=_more(session.fitted, session.waiting, report)))


def _more(fitted: Fitted, classes: Mapping[str, Sequence[Snapshot]], report: Report) -> Fitted:
    model = fitted.model
    more = added(replace(fitted, model=watched(model, report)), classes)
    return replace(more, model=model.make(more.counts).model)


def asking(session: Session, path: Path) -> Step:
    """The session with a photograph that is asked about.

    Raises:
      UserError: it cannot be read, or nothing is learned yet.
    """
    if session.fitted is None:
        raise UserError("nothing is learned yet: add photos of two things, then press Learn")
    (found, refused) = read_snapshots([path], session.fitted.model.pixels)
    if refused:
        raise UserError(f"this photo cannot be read: {refused[0].why}")
    notes = tuple(f"this photo may be hard: {', '.join(one.doubts)}" for one in found if one.doubts)
    return Step(replace(session, asked=found[0]), notes)


def corrected(session: Session, name: str, report: Report) -> Step:
    """The session that has learned what the photograph is that was asked about.

    Raises:
      UserError: nothing was asked, or no name is given.
    """
    if session.fitted is None or session.asked is None:
        raise UserError("ask about a photo first")
    name = class_name(name)
    if session.asked.digest in _learned(session, name):
        raise UserError(f"this photo is learned as {name} already")
    asked = session.asked
    given = renamed(asked, _like(session.fitted, name, asked))
    notes = tuple(_learned_as_others(session, name, [asked]))
    fitted = _more(session.fitted, {name: [given]}, report)
    thumbnails = {**session.thumbnails, (name, given.name): given.thumbnail}
    return Step(replace(session, fitted=fitted, thumbnails=thumbnails), notes)


def _like(fitted: Fitted | None, name: str, snapshot: Snapshot) -> list[Snapshot]:
    """Stand-ins with the names of a class's learned photographs."""
    if fitted is None:
        return []
    pairs = zip(fitted.photos.names, fitted.photos.labels, strict=True)
    return [snapshot._replace(name=each) for each, at in pairs if fitted.classes[at] == name]
