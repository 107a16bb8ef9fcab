"""Fits to photographs of one kind for those of another, by unlabelled ones of that other kind.

Product pictures are labelled, photographs from a shelf will be asked: the features of the pictures
are moved to where photographs from the shelf lie, and all else of a recogniser is as without.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metalearn.data.snapshots import Snapshot
from metalearn.domains.moved import MOVES, RECENTRE, moved
from metalearn.domains.types import Domains
from metalearn.errors import UserError
from metalearn.personal.fitted import Photos
from metalearn.personal.model import RUN, Model, rounded

LEAST = 5  # photographs, from which a mean of them is worth more than none
TRANSPORTED = 20  # photographs a class, from which transport is worth more than re-centring


class Unlabelled(NamedTuple):
    """Photographs like those that will be asked.

    Attributes:
      photos: their classes are not known; the best are of all classes, each about as often.
      adapt: how those that are fitted to are moved, one of `MOVES`.
    """

    photos: Sequence[Snapshot]
    adapt: str = RECENTRE


class Alike(NamedTuple):
    """What unlabelled photographs are to a recogniser, once its own are moved among them.

    Attributes:
      said: how they were moved, in words.
      values: [U,D] of them, as the model is asked about them; None where they are gone, as of a
        recogniser from a file.
      threshold: what they gave then; not read where they are there.
    """

    said: str
    values: np.ndarray | None = None
    threshold: float = 0.0


def check_unlabelled(model: Model, number: int, how: str) -> None:
    """See that a model's photographs can be moved.

    Args:
      model: that keeps them.
      number: of unlabelled photographs.
      how: they are moved.

    Raises:
      UserError: too few photographs; no way to move any; a model that keeps no features.
    """
    if how not in MOVES:
        raise UserError(f"unknown way to adapt '{how}': choose one of {', '.join(MOVES)}")
    if number < LEAST:
        raise UserError(f"{number} unlabelled photos: give {LEAST} or more, or none")
    if model.kind == RUN:
        raise UserError(
            "unlabelled photos move the features of a body, and this run keeps photos: choose a "
            "body, or leave them out"
        )


def among_unlabelled(photos: Photos, values: np.ndarray, classes: int, how: str) -> Photos:
    """The photographs with their features moved among those of others.

    Args:
      photos: that are fitted to.
      values: [U,D], of unlabelled ones as the model is asked about them.
      classes: C.
      how: one of `MOVES`.

    Raises:
      UserError: as `moved`.
    """
    domains = Domains(photos.kept.values, photos.labels, values, classes)
    return photos._replace(kept=rounded(moved(how, domains).astype(np.float32)))


def alike_of(values: np.ndarray, how: str) -> Alike:
    """Unlabelled photographs by their values [U,D], among which others were moved."""
    return Alike(f"{how} by {len(values)} unlabelled photos", values)
