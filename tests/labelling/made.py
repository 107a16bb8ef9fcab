"""A pile of drawn photographs, and what a tiny body makes of them."""

from pathlib import Path

from PIL import Image

from metalearn.labelling.choosing import Wish, ask
from metalearn.labelling.folder import find_all
from metalearn.labelling.given import Given
from metalearn.labelling.pool import Looked, look
from metalearn.labelling.state import State
from metalearn.labelling.taking import Taken, take
from metalearn.labelling.work import Place
from tests.personal.made import NAMES, picture, tiny_embedder

PRIOR = 0.0  # of the tiny body, whose mean is not known


def pile(folder: Path, classes: int = 3, number: int = 6, first: int = 0) -> Place:
    """So many photographs of each class in one folder, named like `apple0.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    for label in range(classes):
        for i in range(first, first + number):
            Image.fromarray(picture(label, i)).save(folder / f"{NAMES[label]}{i}.png")
    return Place(folder, folder / ".labelling")


def truth(name: str) -> str:
    """The class that a photograph's name tells."""
    return Path(name).stem.rstrip("0123456789")


def looked_at(place: Place) -> Looked:
    """The photographs of a pile."""
    return look(list(find_all(*place).values()), place.photos, tiny_embedder())


def asked(
    state: State, looked: Looked, number: int | None, strategy: str = "auto", **more: int
) -> State:
    """The state with so many open questions."""
    return ask(state, looked, PRIOR, Wish(number, strategy, **more))


def answers(state: State) -> list[Given]:
    """The right answers to all open questions."""
    return [
        Given(f"row {row}", each.name, truth(each.name))
        for row, each in enumerate(state.open.values(), 2)
    ]


def taken(state: State, given: list[Given], place: Place, new_classes: bool = True) -> Taken:
    """The state with answers."""
    return take(state, given, find_all(*place), new_classes)
