"""What labelled photographs tell so far: a head, how good it is, and what more would bring."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from metalearn.active.trial import MEMBERS
from metalearn.ops.softmax import softmax
from metalearn.personal.heads import AUTO, HEADS, chosen_head
from metalearn.transfer.fitted import Probe
from metalearn.transfer.probes import apply_probe
from metalearn.transfer.scores import stratified_folds

FOLDS = 5  # parts of the labelled photographs that are held out in turn
DRAWS = 4  # times that they are parted, to see what fewer would give
FEW = 500  # labelled photographs above which once has to do
LEAST = 4  # labelled photographs a class, in the mean, from which that tells anything


class Labelled(NamedTuple):
    """Labelled features.

    Attributes:
      z: float32 [M,D].
      y: int [M].
      classes: names of the C, sorted; each has a photograph.
      prior: photographs that the mean of others counts as.
    """

    z: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...]
    prior: float

    @property
    def counts(self) -> np.ndarray:
        """Photographs of each class, [C]."""
        return np.bincount(self.y, minlength=len(self.classes))

    @property
    def enough(self) -> bool:
        """Whether there is anything to tell apart."""
        return len(self.classes) > 1 and not (self.z == self.z[0]).all()


class Outlook(NamedTuple):
    """What is right of photographs, each held out of the fit in turn.

    Attributes:
      accuracy: now.
      later: with further labels; None where the labels are too few to tell.
      alone: photographs that were not held out, as their class has no other.
    """

    accuracy: float
    later: float | None
    alone: int = 0


def labelled_of(
    z: np.ndarray, place: Mapping[str, int], labels: Mapping[str, str], prior: float
) -> Labelled:
    """Labelled photographs of those that were looked at.

    Args:
      z: [N,D], features.
      place: position of each photograph.
      labels: of photographs; those not looked at are left out.
      prior: photographs that the mean of others counts as.
    """
    known = {place[digest]: label for digest, label in labels.items() if digest in place}
    classes = tuple(sorted(set(known.values())))
    rows = np.array(sorted(known), int)
    y = np.array([classes.index(known[row]) for row in rows], int)
    return Labelled(z[rows], y, classes, prior)


def fit_head(some: Labelled) -> Probe:
    """The head that a recogniser of these photographs would have."""
    (kind, _) = chosen_head(AUTO, some.counts)
    return HEADS[kind](some.z, some.y, len(some.classes), some.prior)


def probabilities(head: Probe, z: np.ndarray) -> np.ndarray:
    """Probabilities float32 [N,C] of features."""
    return softmax(apply_probe(head, z))


def committee(seed: int, some: Labelled, z: np.ndarray) -> np.ndarray:
    """Probabilities float32 [M,N,C] by heads fitted to bootstrap samples of each class."""
    random = np.random.default_rng(seed)
    groups = [np.flatnonzero(some.y == label) for label in range(len(some.classes))]
    found = []
    for _ in range(MEMBERS):
        rows = np.concatenate([random.choice(group, len(group)) for group in groups])
        drawn = some._replace(z=some.z[rows], y=some.y[rows])
        found.append(probabilities(fit_head(drawn if drawn.enough else some), z))
    return np.stack(found)


def outlook(some: Labelled, more: int) -> Outlook | None:
    """How good a head of these photographs is, and would be with `more` of them.

    The error of heads of half of them is compared with that of nearly all: errors fall as a power
    of the number of labels (Hestness et al. 2017), so two numbers tell a third. None before two
    classes have two photographs, of which one can be held out.
    """
    number = min(FOLDS, int(some.counts.max(initial=0)))
    if not some.enough or (some.counts >= 2).sum() < 2:
        return None
    with threadpool_limits(1 if len(some.y) <= FEW else None):  # as where recognisers are fitted
        return _outlook(some, number, more)


def _outlook(some: Labelled, number: int, more: int) -> Outlook | None:
    """As `outlook`, of photographs that are held out in `number` parts."""
    right = _right(some, number, 0)
    if not len(right):
        return None
    accuracy = float(right.mean())
    alone = len(some.y) - len(right)
    if not more or len(some.y) < LEAST * len(some.classes):
        return Outlook(accuracy, None, alone)
    draws = DRAWS if len(some.y) <= FEW else 1
    error = _error([_right(some, number, seed) for seed in range(draws)])
    error_of_half = _error([_right(some, 2, seed) for seed in range(draws)])
    share = 1 - 1 / number  # of the labels that a head was fitted to; above a half, of so many
    power = np.clip(np.log(error_of_half / error) / np.log(share / 0.5), 0, 1)
    later = (1 - accuracy) * (len(some.y) / (len(some.y) + more)) ** float(power)
    return Outlook(accuracy, 1 - later, alone)


def _error(draws: list[np.ndarray]) -> float:
    """The share that is wrong; as if half a photograph more were, as none is never sure."""
    right = np.concatenate(draws)
    number = len(draws[0])
    return float((~right).sum() / len(draws) + 0.5) / (number + 1)


def _right(some: Labelled, folds: int, seed: int) -> np.ndarray:
    """bool [H]: photographs that the head of the others gets right, each fold held out in turn."""
    of = stratified_folds(some.y, folds, seed)
    found = [np.zeros(0, bool)]
    for fold in range(folds):
        held = of == fold
        rest = some._replace(z=some.z[~held], y=some.y[~held])
        if held.any() and rest.enough:
            (kind, _) = chosen_head(AUTO, rest.counts)
            head = HEADS[kind](rest.z, rest.y, len(some.classes), some.prior)
            found.append(apply_probe(head, some.z[held]).argmax(1) == some.y[held])
    return np.concatenate(found)
