"""The steps of labelling a folder of photographs, each from file to file."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metalearn.data.snapshots import Snapshot
from metalearn.errors import UserError
from metalearn.labelling.answers import read_answers, read_sorted, write_questions
from metalearn.labelling.choosing import Wish, ask, renamed
from metalearn.labelling.folder import digest_of, find_all, held
from metalearn.labelling.given import Given
from metalearn.labelling.head import Labelled, fit_head, labelled_of, probabilities
from metalearn.labelling.label_studio import Predicted, Task, read_tasks
from metalearn.labelling.pool import Looked, look
from metalearn.labelling.sheet import Tile, write_sheets
from metalearn.labelling.state import Record, State, load_state, save_state
from metalearn.labelling.taking import Taken, take
from metalearn.personal.embedding import Embedder
from metalearn.personal.reading import readable_ones

QUESTIONS = "next.csv"
SHEET = "next"  # of contact sheets: next-1.png and so on


class Place(NamedTuple):
    """A folder of photographs, and the folder of its state."""

    photos: Path
    state: Path

    @property
    def questions(self) -> Path:
        """The CSV of what is asked for."""
        return self.state / QUESTIONS


class Asked(NamedTuple):
    """What is asked for now.

    Attributes:
      state: after it.
      before: open questions that there were.
      looked: the photographs.
      sheets: contact sheets that were written.
    """

    state: State
    before: int
    looked: Looked
    sheets: list[Path]


def next_round(place: Place, embedder: Embedder, wish: Wish) -> Asked:
    """Choose photographs, and write the CSV and the contact sheets of all that wait for an answer.

    The state is written first: of what follows, everything can be written again.

    Raises:
      UserError: too few photographs, answers that were not taken yet, or another process.
    """
    with held(place.state):
        state = load_state(place.state)
        files = find_all(place.photos, place.state)
        _check_taken(place, state, files)
        looked = look(list(files.values()), place.photos, embedder)
        state = renamed(state, dict(zip(looked.digests, looked.names, strict=True)))
        asked = ask(state, looked, embedder.embedding.shown.prior, wish)
        save_state(asked, place.state)
        tiles = tiles_of(asked, files, looked)
        write_questions(tiles, place.questions)
        sheets = write_sheets(tiles, place.state, SHEET)
    waiting = sum(digest in looked.place for digest in state.open)
    return Asked(asked, waiting, looked, sheets)


def tiles_of(state: State, files: Mapping[str, Path], looked: Looked) -> list[Tile]:
    """The photographs that wait for an answer and are there."""
    waiting = [each for digest, each in state.open.items() if digest in looked.place]
    return [
        Tile(number, each.name, files[each.name], each.guess)
        for number, each in enumerate(waiting, 1)
    ]


def _check_taken(place: Place, state: State, files: Mapping[str, Path]) -> None:
    """See that the CSV, which is to be written anew, has no answer that the state lacks.

    As it was when its answers were taken it has none, though some may be corrected since.

    Raises:
      UserError: it has some, or cannot be read.
    """
    if not place.questions.exists() or digest_of(place.questions) == state.taken:
        return
    answers = read_answers(place.questions)
    taken = take(state, answers, files, new_classes=True)
    if number := taken.new + len(taken.corrected):
        raise UserError(
            f"{place.questions} has {number} answer{'s' * (number != 1)} that "
            f"{'were' if number != 1 else 'was'} not taken yet: run `active label` first"
        )


def take_answers(place: Place, answers: Path | None, new_classes: bool) -> Taken:
    """Take answers, and keep them.

    Args:
      place: where the photographs and the state are.
      answers: a CSV, a folder of class folders or Label Studio's JSON; by default the CSV that
        `next_round` wrote.
      new_classes: as of `take`.

    Raises:
      UserError: as `take`, or they cannot be read.
    """
    with held(place.state):
        state = load_state(place.state)
        files = find_all(place.photos, place.state)
        given = read_any(answers or place.questions, place.state)
        own = answers is None or answers.resolve() == place.questions.resolve()
        digest = digest_of(place.questions) if own else state.taken
        if own and digest == state.taken:
            given = []  # taken before; what was corrected since is to stay
        taken = take(state, given, files, new_classes)
        taken = taken._replace(state=replace(taken.state, taken=digest))
        save_state(taken.state, place.state)
    return taken


def read_any(path: Path, state: Path) -> list[Given]:
    """Answers, by what they are; contact sheets in the state's folder are none.

    Raises:
      UserError: they cannot be read.
    """
    if path.is_dir():
        return read_sorted(path, state)
    if path.suffix.lower() == ".json":
        return read_tasks(path)
    if not path.exists() and path.name == QUESTIONS:
        raise UserError(f"there is no {path}: `active next` writes it; or name a file of answers")
    return read_answers(path)


def labelled_photos(place: Place, state: State, size: int) -> dict[str, list[Snapshot]]:
    """The labelled photographs of each class that are there; those that are not are left out.

    Only files with the name of a labelled photograph are read; where one has moved, the digests of
    all others tell which it is.

    Raises:
      UserError: one cannot be read.
    """
    labels = state.labelled
    files = find_all(place.photos, place.state)
    names = {state.photos[digest].name for digest in labels}
    named = [path for name, path in files.items() if name in names]
    shots = {shot.digest: shot for shot in readable_ones(named, size, place.photos)}
    lacking = labels.keys() - shots.keys()
    if lacking:
        others = [path for name, path in files.items() if name not in names]
        moved = [path for path in others if _digest(path) in lacking]
        shots |= {shot.digest: shot for shot in readable_ones(moved, size, place.photos)}
    classes: dict[str, list[Snapshot]] = {}
    for digest, label in labels.items():
        if digest in shots:
            classes.setdefault(label, []).append(shots[digest])
    return classes


def _digest(path: Path) -> str | None:
    """That of a file; None where it cannot be read, as then it is no photograph of ours."""
    try:
        return digest_of(path)
    except UserError:
        return None


def export_tasks(place: Place, looked: Looked, prior: float) -> list[Task]:
    """All photographs that are there, those that have no answer with what a head takes them for.

    The likely ones to be wrong come first: those of the lowest score.

    Args:
      place: where the photographs and the state are.
      looked: the photographs.
      prior: photographs that the mean of others counts as.
    """
    state = load_state(place.state)
    some = labelled_of(looked.z, looked.place, state.labelled, prior)
    p = probabilities(fit_head(some), looked.z) if some.enough else None
    tasks = []
    for row, digest in enumerate(looked.digests):
        record = state.photos.get(digest, Record(""))._replace(name=looked.names[row])
        predicted = None if p is None else _predicted(some, p[row])
        tasks.append(Task(digest, record, predicted))
    return sorted(tasks, key=_doubt)


def _predicted(some: Labelled, p: np.ndarray) -> Predicted:
    return Predicted(some.classes[p.argmax()], float(p.max()))


def _doubt(task: Task) -> tuple[bool, float]:
    """Open photographs first, those with the lowest score before others."""
    return not task.record.open, task.predicted.score if task.predicted else 0.0
