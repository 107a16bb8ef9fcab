"""A pile of photographs without classes: which one to ask about, what was answered. No gradio here.

An answer puts the photograph into a class of the session, as if it had been given there; so what
is labelled is read off the session, and a class that is removed there is asked about again. Nothing
changes a pile: every step gives another one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from metalearn.active.auto import enough_labels
from metalearn.active.registry import AUTO
from metalearn.data.snapshots import Snapshot, read_snapshots
from metalearn.errors import UserError
from metalearn.labelling.choosing import TWO, Wish, ask, free_of
from metalearn.labelling.head import Outlook, labelled_of, outlook
from metalearn.labelling.state import Record, State
from metalearn.page.names import class_name, renamed
from metalearn.page.pile_looked import Seen, labels_of, seeing, seeing_session
from metalearn.page.session import Session, by_name, with_snapshots, without_snapshot
from metalearn.personal.model import Model
from metalearn.personal.reading import said

MOST = 1000  # photographs of a pile
SERVING = 48  # photographs that are chosen at a time as they stand for a pile
AHEAD = 8  # that are chosen as a head is not sure of them
MORE = 10  # labels whose worth is told


@dataclass(frozen=True, eq=False)
class Pile:
    """Photographs that are asked about one after the other.

    Attributes:
      shots: photographs of the pile, by the SHA-256 of their files.
      seen: they, and others that the session has.
      state: what was asked, and answered so far.
      keys: classes in the order in which they came; the first nine have a key.
      history: digests of the photographs that were answered, the last one last.
      sure: whether those that wait were chosen by what a head is not sure of.
      course: number of labels and what they give, after each answer.
    """

    shots: Mapping[str, Snapshot] = field(default_factory=dict)
    seen: Seen = Seen()
    state: State = field(default_factory=State)
    keys: tuple[str, ...] = ()
    history: tuple[str, ...] = ()
    sure: bool = False
    course: tuple[tuple[int, Outlook | None], ...] = ()

    @property
    def asked(self) -> Snapshot | None:
        """The photograph that is asked about now."""
        return next((self.shots[digest] for digest in self.state.open), None)

    @property
    def guess(self) -> str | None:
        """What that was taken for when it was chosen."""
        return next((each.guess for each in self.state.open.values()), None)

    @property
    def left(self) -> int:
        """Photographs that may be asked about."""
        looked = self.seen.looked
        free = 0 if looked is None else int(free_of(self.state, looked).sum())
        return len(self.state.open) + free


def with_pile(
    pile: Pile, session: Session, paths: Sequence[Path], model: Model
) -> tuple[Pile, tuple[str, ...]]:
    """The pile with further photographs, and what is odd about them.

    Args:
      pile: before.
      session: the photographs of classes.
      paths: of the files.
      model: whose features tell what to ask about.

    Raises:
      UserError: none that can be read, too many, or a model without features.
    """
    if not paths:
        raise UserError("no photos yet: drop a pile of them into the box")
    if len(pile.shots) + len(paths) > MOST:
        raise UserError(f"a pile of more than {MOST} photos: `experiments.active` takes more")
    (found, refused) = read_snapshots(paths, model.pixels)
    notes = [said(by_name(refused))] if refused else []
    if not found:
        raise UserError(notes[0])
    new = {shot.digest: shot for shot in found if shot.digest not in pile.shots}
    if len(new) < len(found):
        notes.append(f"{len(found) - len(new)} of these photos are in the pile already")
    seen = seeing(pile.seen, list(new.values()), model)
    pile = replace(pile, shots={**pile.shots, **new}, seen=seen)
    return chosen(synced(pile, session, model), model), tuple(notes)


def synced(pile: Pile, session: Session, model: Model) -> Pile:
    """The pile with the labels that the session has."""
    if not pile.shots:
        return pile
    labels = dict(labels_of(session))
    # Photographs of a class that was removed are neither in the pile nor in a class any more
    kept = pile.seen.only({*pile.shots, *labels})
    seen = seeing_session(kept, session, model)
    records = {
        digest: each._replace(label=None) if each.label else each
        for digest, each in pile.state.photos.items()
        if digest in pile.shots
    }
    for digest, name in zip(seen.digests, seen.names, strict=True):
        if digest in labels:
            before = records.get(digest, Record(name))
            records[digest] = before._replace(label=labels[digest], skipped=False)
    known = tuple(name for name in pile.keys if name in session.classes)
    keys = known + tuple(name for name in session.classes if name not in known)
    return replace(pile, seen=seen, state=State(records, pile.state.rounds), keys=keys)


def chosen(pile: Pile, model: Model) -> Pile:
    """The pile with something to ask about, if there is any left.

    Photographs that stand for the pile are chosen many at a time, as it may take seconds. They give
    way to those that a head is least sure of, once `auto` would take these.
    """
    sure = len(pile.state.labelled) >= _enough(pile)
    if sure and not pile.sure:
        waiting = pile.state.open
        photos = {digest: one for digest, one in pile.state.photos.items() if digest not in waiting}
        pile = replace(pile, state=State(photos, pile.state.rounds))
    looked = pile.seen.looked
    if looked is None or pile.state.open or not pile.left:
        return pile
    wish = Wish(min(AHEAD if sure else SERVING, pile.left), AUTO)
    state = ask(pile.state, looked, model.prior, wish)
    return replace(pile, state=state, sure=sure)


def _enough(pile: Pile) -> float:
    """Labels from which `auto` takes what a head is not sure of."""
    return enough_labels(max(TWO, len(pile.state.counts)), len(pile.seen.digests))


def answered(pile: Pile, session: Session, label: str, model: Model) -> tuple[Pile, Session]:
    """The pile and the session once the photograph asked about is of a class.

    Args:
      pile: before.
      session: before.
      label: name of the class, as typed.
      model: whose features tell what to ask about.

    Raises:
      UserError: no photograph is asked about, or no name.
    """
    name = class_name(label)
    shot = _asked(pile)
    own = renamed(shot, session.waiting.get(name, ()))
    session = with_snapshots(session, name, [own])
    keys = pile.keys if name in pile.keys else (*pile.keys, name)
    pile = replace(pile, keys=keys, history=(*pile.history, shot.digest))
    pile = _measured(synced(pile, session, model), model)
    return chosen(pile, model), session


def skipped(pile: Pile, model: Model) -> Pile:
    """The pile once the photograph asked about is left out.

    Raises:
      UserError: no photograph is asked about.
    """
    digest = _asked(pile).digest
    record = pile.state.photos[digest]._replace(skipped=True)
    pile = replace(pile, history=(*pile.history, digest))
    return chosen(replace(pile, state=pile.state.with_records({digest: record})), model)


def undone(pile: Pile, session: Session, model: Model) -> tuple[Pile, Session]:
    """The pile and the session without the last answer; its photograph is asked about again.

    Raises:
      UserError: there is none, or it is learned already.
    """
    if not pile.history:
        raise UserError("there is nothing to undo")
    digest = pile.history[-1]
    name = next((name for name, some in session.waiting.items() if _has(some, digest)), None)
    record = pile.state.photos.get(digest, Record(pile.shots[digest].name))
    if name is None and not record.skipped and digest in dict(labels_of(session)):
        raise UserError("this answer is learned already: remove its class, or start again")
    if name is not None:
        session = without_snapshot(session, name, digest)
    again = {digest: record._replace(label=None, skipped=False)}
    # Before all others
    state = State({**again, **_without(pile.state.photos, digest)}, pile.state.rounds)
    pile = replace(pile, state=state, history=pile.history[:-1])
    pile = synced(pile, session, model)
    labels = len(pile.state.labelled)
    course = tuple(each for each in pile.course if each[0] <= labels)
    return replace(pile, course=course), session


def _has(shots: Sequence[Snapshot], digest: str) -> bool:
    return any(shot.digest == digest for shot in shots)


def _without(photos: Mapping[str, Record], digest: str) -> dict[str, Record]:
    return {other: each for other, each in photos.items() if other != digest}


def _asked(pile: Pile) -> Snapshot:
    """The photograph that is asked about.

    Raises:
      UserError: none is.
    """
    if pile.asked is None:
        raise UserError("no photo is asked about: give a pile of photos first")
    return pile.asked


def _measured(pile: Pile, model: Model) -> Pile:
    """The pile with what its labels give by now."""
    looked = pile.seen.looked
    assert looked is not None
    some = labelled_of(looked.z, looked.place, pile.state.labelled, model.prior)
    course = tuple(each for each in pile.course if each[0] < len(some.y))
    return replace(pile, course=(*course, (len(some.y), outlook(some, MORE))))
