"""How well recognisers of few photographs do: draws of classes and photographs of a dataset."""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from metalearn.data.labels import Part
from metalearn.errors import UserError
from metalearn.evaluation.calibration import calibration_counts, calibration_error
from metalearn.ops.softmax import log_softmax
from metalearn.personal.evaluating import Evaluation, asked, evaluated
from metalearn.personal.fitted import Fitted, Photos
from metalearn.personal.fitting import fit_photos
from metalearn.personal.model import Kept, Maker
from metalearn.personal.unlabelled import among_unlabelled, check_number


class Protocol(NamedTuple):
    """What is drawn, and how often.

    Attributes:
      ways: classes of a recogniser, drawn among those with test photographs; 0 for all.
      labels: photographs of each that it is fitted to, or as many as there are.
      unknown: further classes, whose test photographs it should not know.
      draws: recognisers.
      seed: of the draws.
      unknown_rate: share of unknown photographs that may be accepted.
      unlabelled: photographs like the test's, of the drawn classes, that are given without labels;
        0 for none.
      adapt: how those that are fitted to are moved among these; '' without any.
    """

    ways: int
    labels: int
    unknown: int
    draws: int
    seed: int
    unknown_rate: float
    unlabelled: int = 0
    adapt: str = ""


class Draw(NamedTuple):
    """The photographs of one recogniser.

    Attributes:
      classes: int [N], of the dataset.
      fitted: int [M], places among training photographs, sorted by class.
      labels: int [M], in [0, N).
      tested: int [Q], places among test photographs of these classes.
      true: int [Q], in [0, N).
      others: int [U], places among test photographs of other classes.
      unlabelled: int [L], places among photographs that are given without labels.
    """

    classes: np.ndarray
    fitted: np.ndarray
    labels: np.ndarray
    tested: np.ndarray
    true: np.ndarray
    others: np.ndarray
    unlabelled: np.ndarray


class Outcome(NamedTuple):
    """One recogniser, and how it did.

    Attributes:
      fitted: the recogniser.
      evaluation: on test photographs.
      logits: [Q,N] of these.
      true: int [Q].
      familiarity: [Q].
      seconds: that fitting took, once there were features.
    """

    fitted: Fitted
    evaluation: Evaluation
    logits: np.ndarray
    true: np.ndarray
    familiarity: np.ndarray
    seconds: float


def check_protocol(protocol: Protocol, test: Part) -> None:
    """See that the rate is one, and that there are enough classes and unlabelled photographs.

    Raises:
      UserError: there are not.
    """
    if protocol.unlabelled:
        check_number(protocol.unlabelled)
    if not 0 < protocol.unknown_rate <= 1:
        raise UserError(f"--unknown_rate={protocol.unknown_rate}: give more than 0 and at most 1")
    classes = int((test.counts > 0).sum())
    ways = protocol.ways or classes
    if ways < 2 or ways + protocol.unknown > classes:
        raise UserError(
            f"{ways} classes and {protocol.unknown} unknown ones: there are {classes} with test "
            "photos, and two at least are to be known: change --ways or --unknown"
        )


def draw(
    protocol: Protocol, number: int, train: Part, test: Part, unlabelled: Part | None = None
) -> Draw:
    """The photographs of recogniser `number`: the same for every method and every body.

    Args:
      protocol: what is drawn.
      number: of the draw.
      train: photographs that recognisers are fitted to; every class has one.
      test: photographs of the same classes.
      unlabelled: photographs like those of the test, that may be given without labels.
    """
    random = np.random.default_rng([protocol.seed, number])
    every = np.arange(len(train.counts))
    order = random.permutation(every[test.counts > 0] if protocol.ways else every)
    ways = protocol.ways or len(every)
    classes = np.sort(order[:ways])
    left_out = order[ways : ways + protocol.unknown]
    of_class = [random.permutation(np.flatnonzero(train.labels == label)) for label in classes]
    fitted = [np.sort(places[: protocol.labels]) for places in of_class]
    (tested,) = np.nonzero(np.isin(test.labels, classes))
    (others,) = np.nonzero(np.isin(test.labels, left_out))
    alike = np.zeros(0, int)
    if unlabelled is not None:
        (places,) = np.nonzero(np.isin(unlabelled.labels, classes))
        alike = np.sort(random.permutation(places)[: protocol.unlabelled])
    return Draw(
        classes=classes,
        fitted=np.concatenate(fitted),
        labels=np.repeat(np.arange(ways), [len(places) for places in fitted]),
        tested=tested,
        true=np.searchsorted(classes, test.labels[tested]),
        others=others,
        unlabelled=alike,
    )


def outcomes(
    protocol: Protocol,
    maker: Maker,
    names: tuple[str, ...],
    train: tuple[Part, Kept],
    test: tuple[Part, np.ndarray],
    unlabelled: tuple[Part, np.ndarray] | None = None,
) -> Iterator[Outcome]:
    """One recogniser after the other.

    Args:
      protocol: what is drawn.
      maker: of the model.
      names: of the dataset's classes.
      train: photographs that recognisers are fitted to, and what is kept of all of them.
      test: photographs, and the values [Q,...] of all of them.
      unlabelled: as of `test`, of photographs that may be given without labels; None for none.

    Raises:
      UserError: as `fit_photos`, or unlabelled photographs that do not fit the model.
    """
    for number in range(protocol.draws):
        drawn = draw(
            protocol, number, train[0], test[0], None if unlabelled is None else unlabelled[0]
        )
        kept = train[1].at(drawn.fitted)
        none = ("",) * len(drawn.fitted)
        photos = Photos(none, drawn.labels, none, (b"",) * len(none), kept)
        made = maker(np.bincount(drawn.labels))
        begin = time.perf_counter()
        alike = None
        if unlabelled is not None:
            values = unlabelled[1][drawn.unlabelled]
            (photos, alike) = among_unlabelled(photos, values, len(drawn.classes), protocol.adapt)
        classes = tuple(names[label] for label in drawn.classes)
        fitted = fit_photos(made, classes, photos, protocol.unknown_rate, alike)
        seconds = time.perf_counter() - begin
        (logits, familiar) = asked(fitted, test[1][drawn.tested])
        others = test[1][drawn.others]
        unfamiliar = asked(fitted, others)[1] if len(others) else np.zeros(0)
        found = evaluated(fitted, (logits, familiar), drawn.true, unfamiliar)
        yield Outcome(fitted, found, logits, drawn.true, familiar, seconds)


class Pooled(NamedTuple):
    """What needs the test photographs of all draws: of one draw there are few.

    Attributes:
      ece: expected calibration error (15 bins).
      accepted: share of photographs of known classes that are not taken for unknown.
      right_of_accepted: share of these that is right; None without any.
    """

    ece: float
    accepted: float
    right_of_accepted: float | None


def pooled(done: Sequence[Outcome]) -> Pooled:
    """Calibration and accepted photographs over all draws."""
    logs = np.concatenate([log_softmax(one.logits.astype(np.float64)).max(1) for one in done])
    right = np.concatenate([one.logits.argmax(1) == one.true for one in done])
    accepted = np.concatenate([one.familiarity >= one.fitted.threshold for one in done])
    of_accepted = float(right[accepted].mean()) if accepted.any() else None
    return Pooled(
        calibration_error(calibration_counts(logs, right)), float(accepted.mean()), of_accepted
    )
