"""Fits to photographs of one kind for those of another, by unlabelled ones of that other kind.

Product pictures are labelled, photographs from a shelf will be asked: the features of the pictures
are moved to where photographs from the shelf lie, and these tell what is unknown.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metalearn.data.snapshots import Snapshot
from metalearn.domains.moved import RECENTRE, check_move, moved
from metalearn.domains.types import Domains
from metalearn.errors import UserError
from metalearn.personal.fitted import Alike, Photos
from metalearn.personal.model import RUN, Model, rounded

LEAST = 5  # photographs
MOST = 100  # that a recogniser keeps, 1.3 kB each
TRANSPORTED = 20  # photographs a class, from which transport is worth more than re-centring


class Unlabelled(NamedTuple):
    """Photographs like those that will be asked.

    Attributes:
      photos: their classes are not known; the best are of all classes, each about as often.
      adapt: how those that are fitted to are moved, one of `MOVES`.
    """

    photos: Sequence[Snapshot]
    adapt: str = RECENTRE


def check_number(number: int) -> None:
    """See that there are enough unlabelled photographs.

    Raises:
      UserError: there are not.
    """
    if number < LEAST:
        raise UserError(f"{number} unlabelled photos: give {LEAST} or more, or none")


def check_keeps_features(model: Model) -> None:
    """See that a model keeps features, which can be moved.

    Raises:
      UserError: it keeps photographs.
    """
    if model.kind == RUN:
        raise UserError(
            "unlabelled photos move the features of a body, and this run keeps photos: choose a "
            "body, or leave them out"
        )


def pixels_of(unlabelled: Unlabelled) -> np.ndarray:
    """Pixels uint8 [U,H,W,3] of the photographs; one file counts once.

    Raises:
      UserError: too few; no way to move any among them.
    """
    check_move(unlabelled.adapt)
    once = {each.digest: each for each in unlabelled.photos}
    check_number(len(once))
    return np.stack([each.pixels for each in once.values()])


def among_unlabelled(
    photos: Photos, values: np.ndarray, classes: int, how: str
) -> tuple[Photos, Alike]:
    """The photographs with their features moved among those of others, and what is kept of these.

    Args:
      photos: that are fitted to.
      values: [U,D], of unlabelled ones as the model is asked about them.
      classes: C.
      how: one of `MOVES`.

    Raises:
      UserError: too few of them, or all alike; as `moved`.
    """
    check_number(len(values))
    if (values == values[0]).all():
        raise UserError("all unlabelled photos look the same to the body: give others")
    found = moved(how, Domains(photos.kept.values, photos.labels, values, classes))
    note = f" ({found.note})" if found.note else ""
    some = np.unique(np.linspace(0, len(values) - 1, MOST).astype(int))
    alike = Alike(f"{how} by {len(values)} unlabelled photos{note}", rounded(values[some]))
    return photos._replace(kept=rounded(found.z.astype(np.float32))), alike
