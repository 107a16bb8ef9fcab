"""How labelling goes: how good a recogniser of the labels is, round by round, and what is left."""

from typing import NamedTuple

import numpy as np

from metalearn.data.snapshots import Snapshot
from metalearn.labelling.folder import find_all
from metalearn.labelling.head import Labelled, Outlook, outlook
from metalearn.labelling.state import Record, State
from metalearn.labelling.work import Place, labelled_photos
from metalearn.personal.embedding import Embedder

LAST = 5  # rounds whose accuracy is computed: each is some fits


class Row(NamedTuple):
    """A round.

    Attributes:
      number: from 1; 0 for photographs that were labelled without being asked about.
      asked: photographs; of round 0, those labelled.
      labelled: of them.
      guessed: of these, photographs that the head before had a guess for.
      right: of those, how many it took for what they are.
      labels: labelled photographs so far.
      accuracy: of the head of these, each held out in turn; None where that cannot be told.
    """

    number: int
    asked: int
    labelled: int
    guessed: int
    right: int
    labels: int
    accuracy: float | None


class Progress(NamedTuple):
    """How labelling goes.

    Attributes:
      state: all answers.
      unasked: photographs in the folder that were neither asked about nor labelled.
      rows: rounds, the first one first.
      outlook: how good a recogniser is, and what more labels may bring; None where that cannot be
        told.
      missing: names of labelled photographs that are not there any more.
    """

    state: State
    unasked: int
    rows: tuple[Row, ...]
    outlook: Outlook | None
    missing: tuple[str, ...]


def progress_of(place: Place, state: State, embedder: Embedder, more: int) -> Progress:
    """How labelling goes.

    Args:
      place: where the photographs are.
      state: all answers.
      embedder: makes the features of the labelled photographs.
      more: labels whose worth is estimated.

    Raises:
      UserError: a photograph cannot be read.
    """
    files = find_all(place.photos, place.state)
    (shots, some) = _labelled(place, state, embedder)
    digests = [shot.digest for shot in shots]
    # By both: a labelled photograph may have been renamed
    names = {each.name for each in state.photos.values()} | {shot.name for shot in shots}
    lacking = state.labelled.keys() - set(digests)
    found = outlook(some, more) if digests else None
    return Progress(
        state=state,
        unasked=sum(name not in names for name in files),
        rows=tuple(_rows(state, digests, some, found)),
        outlook=found,
        missing=tuple(sorted(state.photos[digest].name for digest in lacking)),
    )


def _labelled(place: Place, state: State, embedder: Embedder) -> tuple[list[Snapshot], Labelled]:
    """The labelled photographs [M] that are there, and their features."""
    shown = embedder.embedding.shown
    classes = labelled_photos(place, state, shown.views.pixels) if state.labelled else {}
    names = tuple(sorted(classes))
    # In the order of a recogniser's, so that the same photographs are held out together
    shots = [shot for name in names for shot in sorted(classes[name], key=_digest)]
    y = np.repeat(np.arange(len(names)), [len(classes[name]) for name in names])
    z = np.zeros((0, len(shown.mean)), np.float32)
    if shots:
        z = embedder(np.stack([shot.pixels for shot in shots]), fitted=True)
    return shots, Labelled(z, y.astype(int), names, shown.prior)


def _digest(shot: Snapshot) -> str:
    return shot.digest


def _rows(state: State, digests: list[str], some: Labelled, found: Outlook | None) -> list[Row]:
    """The rounds; `found` is what all labels give."""
    numbers = [state.photos[digest].round or 0 for digest in digests]
    of_rounds = np.array(numbers, int)
    unasked = any(each.round is None and not each.open for each in state.photos.values())
    first = 0 if unasked else 1
    rows = []
    labels = 0
    for number in range(first, len(state.rounds) + 1):
        records = [each for each in state.photos.values() if (each.round or 0) == number]
        labelled = [each for each in records if each.label is not None]
        labels += len(labelled)
        late = number > len(state.rounds) - LAST
        so_far = of_rounds <= number
        accuracy = _accuracy(some, so_far, found) if late else None
        rows.append(_row(number, len(records), labelled, labels, accuracy))
    return rows


def _row(
    number: int, asked: int, labelled: list[Record], labels: int, accuracy: float | None
) -> Row:
    guessed = [each for each in labelled if each.guess is not None]
    right = sum(each.guess == each.label for each in guessed)
    return Row(number, asked, len(labelled), len(guessed), right, labels, accuracy)


def _accuracy(some: Labelled, rows: np.ndarray, found: Outlook | None) -> float | None:
    """That of a head of some of the photographs; `found` is what all of them give."""
    if rows.all():
        return None if found is None else found.accuracy
    (present, y) = np.unique(some.y[rows], return_inverse=True)
    names = tuple(some.classes[label] for label in present)
    less = outlook(some._replace(z=some.z[rows], y=y, classes=names), 0)
    return None if less is None else less.accuracy
