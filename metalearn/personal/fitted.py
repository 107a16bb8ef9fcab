"""What a recogniser is: photographs, what was fitted to them, when it does not know."""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from metalearn.personal.model import Arrays, Kept, Model
from metalearn.personal.unknown import Familiar, Fit
from metalearn.transfer.centroid import unit


class Photos(NamedTuple):
    """The photographs that a recogniser is fitted to, sorted by class.

    Attributes:
      names: of their files.
      labels: int [M], their classes.
      digests: SHA-256 of their files.
      thumbnails: small images, WebP; empty but for the first few of each class.
      kept: what the model keeps of each.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    digests: tuple[str, ...]
    thumbnails: tuple[bytes, ...]
    kept: Kept


class Alike(NamedTuple):
    """Unlabelled photographs that those of a recogniser were moved among.

    Attributes:
      said: how these were moved, in words.
      kept: what is kept of some of them, as the model is asked about them.
    """

    said: str
    kept: Kept


class Expected(NamedTuple):
    """What a recogniser got right of its own photographs, each held out of the fit in turn.

    Attributes:
      photos: that were held out: those that are not alone in their class.
      accuracy: share that is right.
      accepted: share that is not taken for unknown.
      right_of_accepted: share that is right among those; None without any.
      auroc: probability that a photograph of a known class is more familiar than one of a class
        that was left out.
    """

    photos: int
    accuracy: float
    accepted: float
    right_of_accepted: float | None
    auroc: float


@dataclass(frozen=True)
class Fitted:
    """A recogniser ready to be asked.

    Attributes:
      classes: their names.
      photos: that it is fitted to.
      model: how photographs become answers.
      state: what the model fitted.
      familiar: class means that photographs are compared with.
      temperature: that logits are divided by.
      threshold: familiarity below which a photograph is unknown.
      unknown_rate: share of photographs of other classes that is to be accepted.
      expected: measured on its own photographs; None where each is alone in its class.
      chosen: the head, and why it was chosen.
      made: when, in UTC.
      alike: unlabelled photographs like those that will be asked, among which its own were moved;
        None where these are of one kind.
    """

    classes: tuple[str, ...]
    photos: Photos
    model: Model
    state: Arrays
    familiar: Familiar
    temperature: float
    threshold: float
    unknown_rate: float
    expected: Expected | None
    chosen: str
    made: str
    alike: Alike | None = None

    @property
    def counts(self) -> np.ndarray:
        """Photographs of each class, [C]."""
        return np.bincount(self.photos.labels, minlength=len(self.classes))

    @cached_property
    def directions(self) -> np.ndarray:
        """Vectors [M,D] of its photographs less the centre, of length one."""
        own = self.fit.vectors(self.photos.kept.values)
        return unit(own - self.familiar.centre)

    @property
    def fit(self) -> Fit:
        """What was fitted, as functions."""
        return fit_of(self.model, self.state, self.familiar, self.temperature)


def fit_of(model: Model, state: Arrays, familiar: Familiar, temperature: float) -> Fit:
    """A fitted state as functions.

    Args:
      model: that fitted it.
      state: what it fitted.
      familiar: class means of the same photographs.
      temperature: that logits are divided by.
    """

    def logits(values: np.ndarray) -> np.ndarray:
        return model.logits(state, values) / temperature

    return Fit(logits, partial(model.vectors, state), familiar)
