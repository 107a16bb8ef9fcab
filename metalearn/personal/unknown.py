"""When a recogniser does not know: how familiar a photograph is, and what it expects to get right.

Familiarity is the cosine of a photograph's features to the mean of the class that is answered,
over what is usual for photographs of that class, times the square root of the answer's probability:
about 1 for a photograph like those that were fitted to. Below a threshold a photograph is unknown.
The threshold is what a chosen share of photographs of classes that were left out would exceed; the
classes take turns.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from metalearn.ops.softmax import softmax
from metalearn.transfer.centroid import unit
from metalearn.transfer.scores import stratified_folds

GROUPS = 5  # of photographs or of classes that take turns, at most
RATE = 0.05  # of unknown photographs that are accepted
USUAL = 0.6  # cosine of a photograph to its class, where no class has two
LEAST = 0.05  # that a cosine is divided by
NEVER = -2 / LEAST  # a threshold that is below every familiarity
MANY = 10  # classes, of which quantiles tell what another would do
MOST = 1.0  # the highest threshold, where there are fewer
DOUBTS = 4  # photographs that the mean of all classes counts as, in what is usual for one
Logits = Callable[[np.ndarray], np.ndarray]


class Familiar(NamedTuple):
    """The class means that photographs are compared with.

    Attributes:
      centre: [D] float32, subtracted from vectors.
      means: [C,D] float32, of each class's vectors, of length one.
      usual: [C], cosine of a class's photograph to the mean of the others in it.
    """

    centre: np.ndarray
    means: np.ndarray
    usual: np.ndarray


class HeldOut(NamedTuple):
    """Answers for photographs that were not fitted to.

    Attributes:
      rows: int [R], which photographs.
      logits: float32 [R,C].
      familiarity: [R].
    """

    rows: np.ndarray
    logits: np.ndarray
    familiarity: np.ndarray


class Fit(NamedTuple):
    """What was fitted to some photographs.

    Attributes:
      logits: `kept [Q,...] -> [Q,C]`.
      vectors: `kept [Q,...] -> [Q,D]`, what cosines are taken of.
      familiar: class means of the same photographs.
    """

    logits: Logits
    vectors: Callable[[np.ndarray], np.ndarray]
    familiar: Familiar


Fitting = Callable[[np.ndarray, np.ndarray, int], Fit]


def familiar_of(vectors: np.ndarray, y: np.ndarray, classes: int, prior: float) -> Familiar:
    """The class means of fitted photographs.

    Args:
      vectors: [M,D].
      y: int [M], their classes; each of the C has one.
      classes: C.
      prior: photographs that a centre of zero counts as, beside the M.
    """
    # By itself alone a class would be centred to nothing
    centre = vectors.sum(0) / (len(vectors) + prior) * (classes > 1)
    centred = unit(vectors - centre)
    sums = np.zeros((classes, vectors.shape[1]))
    np.add.at(sums, y, centred)
    usual = _usual(centred, y, sums)
    return Familiar(centre.astype(np.float32), unit(sums).astype(np.float32), usual)


def _usual(centred: np.ndarray, y: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Mean cosine [C] of each class's photographs to the mean of the others in it.

    A geometric mean with that of all classes, which counts as `DOUBTS` photographs: of few, little
    is known.

    Args:
      centred: [M,D], of length one.
      y: int [M].
      sums: [C,D], of each class.
    """
    counts = np.bincount(y, minlength=len(sums))
    others = np.einsum("md,md->m", centred, unit(sums[y] - centred))
    several = counts > 1
    if not several.any():
        return np.full(len(sums), USUAL)
    own = np.bincount(y, others, len(sums)) / counts
    overall = max(LEAST, own[several].mean())
    own = np.where(several, np.maximum(own, LEAST), overall)
    share = (counts - 1) / (counts - 1 + DOUBTS)
    return overall * (own / overall) ** share


def cosines_to(familiar: Familiar, vectors: np.ndarray) -> np.ndarray:
    """Cosines [Q,C] of vectors [Q,D] to the class means."""
    return unit(vectors - familiar.centre) @ familiar.means.T


def familiarity(fit: Fit, kept: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """How familiar each of Q photographs is, [Q].

    Args:
      fit: what was fitted.
      kept: [Q,...], what is kept of photographs.
      logits: [Q,C] of them.
    """
    answers = logits.argmax(1)
    sure = softmax(logits.astype(np.float64)).max(1)
    cosines = cosines_to(fit.familiar, fit.vectors(kept))[np.arange(len(answers)), answers]
    return cosines / fit.familiar.usual[answers] * np.sqrt(sure)


def held_out(fitting: Fitting, kept: np.ndarray, y: np.ndarray, classes: int) -> HeldOut:
    """Answers for photographs by what was fitted to others, a fifth of each class at a time.

    Photographs alone in their class are never held out. Of n photographs a class, n up to 5, each
    answer is by n - 1.

    Args:
      fitting: fits what is judged.
      kept: [M,...].
      y: int [M].
      classes: C.
    """
    folds = stratified_folds(y, min(GROUPS, int(np.bincount(y).max())))
    rows, logits, scores = [], [], []
    for fold in range(folds.max() + 1):
        (held,) = np.nonzero(folds == fold)
        others = folds != fold
        fit = fitting(kept[others], y[others], classes)
        found = fit.logits(kept[held])
        rows.append(held)
        logits.append(found)
        scores.append(familiarity(fit, kept[held], found))
    if not rows:
        return HeldOut(np.zeros(0, np.int64), np.zeros((0, classes), np.float32), np.zeros(0))
    return HeldOut(*map(np.concatenate, (rows, logits, scores)))


def left_out_classes(
    fitting: Fitting,
    kept: np.ndarray,
    y: np.ndarray,
    classes: int,
    asked: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Familiarity [M] of each photograph to a recogniser without its class.

    Classes are left out in up to five groups, at most half of the classes at a time.

    Args:
      fitting: fits what is judged.
      kept: [M,...].
      y: int [M].
      classes: C, two at least.
      asked: other photographs [U,...] and the classes int [U] that they are taken for, which are
        asked about instead: those of them that are taken for another class than theirs are of a
        known class even without it, so that these are rather too familiar than not enough.
    """
    groups = np.arange(classes) % min(GROUPS, classes)
    groups = np.random.default_rng(0).permutation(groups)
    (values, taken) = (kept, y) if asked is None else asked
    found = np.empty(len(taken))
    for group in np.unique(groups[taken]):
        left = groups[y] == group
        (_, renamed) = np.unique(y[~left], return_inverse=True)
        fit = fitting(kept[~left], renamed, int(renamed.max()) + 1)
        without = groups[taken] == group
        some = values[without]
        found[without] = familiarity(fit, some, fit.logits(some))
    return found


def threshold_of(unknown: np.ndarray, classes: int, rate: float) -> float:
    """The familiarity that a share of photographs of unknown classes exceeds.

    Of ten classes and more, the quantile of what was seen. Of fewer, the upper prediction bound of
    a normal sample of so many: mean + t sd sqrt(1 + 1/C), t the quantile of Student's distribution
    with C - 1 degrees of freedom, as the next class may well look more like one's own than any of
    these few; at most 1, as of two or three classes the bound tells next to nothing.

    Args:
      unknown: [M], of photographs of classes that were left out.
      classes: C that took turns, two at least.
      rate: the share.
    """
    if classes >= MANY:
        return float(np.quantile(unknown, 1 - rate, method="higher"))
    from scipy.special import stdtrit  # it takes longer to import than an answer

    share = stdtrit(classes - 1, 1 - rate) * np.sqrt(1 + 1 / classes)
    return min(MOST, float(unknown.mean() + share * unknown.std(ddof=1)))


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """Probability that a known photograph's score is above an unknown one's; half of it for ties.

    Args:
      known: [K].
      unknown: [U].
    """
    ordered = np.sort(unknown)
    below = np.searchsorted(ordered, known, "left")
    not_above = np.searchsorted(ordered, known, "right")
    return float((below + not_above).mean() / (2 * len(ordered)))
