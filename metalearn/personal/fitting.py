"""Fits recognisers to photographs, and finds what they will know."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from metalearn.data.snapshots import Snapshot
from metalearn.errors import UserError
from metalearn.personal.fitted import Alike, Expected, Fitted, Photos, fit_of
from metalearn.personal.model import Arrays, Made, Maker, Model
from metalearn.personal.unknown import (
    NEVER,
    RATE,
    Familiar,
    Fit,
    HeldOut,
    auroc,
    familiar_of,
    held_out,
    left_out_classes,
    threshold_of,
)
from metalearn.personal.unlabelled import (
    Unlabelled,
    among_unlabelled,
    check_keeps_features,
    pixels_of,
)
from metalearn.transfer.fitted import Sample
from metalearn.transfer.scores import likeliest_scale, scored_rows

THUMBNAILS = 3  # of each class that are kept
FEW = 500  # photographs that one thread fits to


def fit(
    maker: Maker,
    classes: Mapping[str, Sequence[Snapshot]],
    unknown_rate: float = RATE,
    unlabelled: Unlabelled | None = None,
) -> Fitted:
    """A recogniser fitted to photographs.

    Args:
      maker: of the model, given the number of photographs of each class.
      classes: the photographs of each, one at least.
      unknown_rate: share of photographs of other classes that may be accepted, in (0, 1]; with 1
        nothing is unknown.
      unlabelled: photographs like those that will be asked, where the classes' are of another
        kind; None where they are alike.

    Raises:
      UserError: fewer than two classes, one without photographs, a rate out of range, or classes
        or unlabelled photographs that do not fit the model.
    """
    if empty := [name for name, some in classes.items() if not some]:
        raise UserError(f"class {empty[0]!r} has no photos: give one at least, or leave it out")
    _check(len(classes), unknown_rate)  # before features are made, which takes longest
    names = tuple(sorted(classes))
    # A file counts once in its class, as when photographs are added or it is loaded
    made = maker(np.array([len({each.digest for each in classes[name]}) for name in names]))
    if unlabelled is not None:
        check_keeps_features(made.model)
        pixels = pixels_of(unlabelled)
    photos = photos_of(made.model, {name: classes[name] for name in names})
    alike = None
    if unlabelled is not None:
        values = made.model.ask(pixels)
        (photos, alike) = among_unlabelled(photos, values, len(names), unlabelled.adapt)
    return fit_photos(made, names, photos, unknown_rate, alike)


def photos_of(model: Model, classes: Mapping[str, Sequence[Snapshot]]) -> Photos:
    """What is kept of photographs, in the order of the classes; one file counts once in a class."""
    once = {name: {each.digest: each for each in some}.values() for name, some in classes.items()}
    every = [snapshot for some in once.values() for snapshot in some]
    labels = np.repeat(np.arange(len(once)), [len(some) for some in once.values()])
    names = tuple(snapshot.name for snapshot in every)
    digests = tuple(snapshot.digest for snapshot in every)
    thumbnails = tuple(snapshot.thumbnail for snapshot in every)
    kept = model.keep(np.stack([snapshot.pixels for snapshot in every]))
    return Photos(names, labels, digests, thumbnails, kept)


def in_order(photos: Photos) -> Photos:
    """Photographs by class and digest, so that nothing depends on the order in which they came.

    Thumbnails stay of the first few of each class.
    """
    rows = np.lexsort((np.array(photos.digests), photos.labels))
    labels = photos.labels[rows]
    places = np.arange(len(rows)) - np.searchsorted(labels, labels)
    return Photos(
        names=tuple(photos.names[row] for row in rows),
        labels=labels,
        digests=tuple(photos.digests[row] for row in rows),
        thumbnails=tuple(
            photos.thumbnails[row] if place < THUMBNAILS else b""
            for row, place in zip(rows, places, strict=True)
        ),
        kept=photos.kept.at(rows),
    )


def fit_photos(
    made: Made,
    classes: tuple[str, ...],
    photos: Photos,
    unknown_rate: float,
    alike: Alike | None = None,
) -> Fitted:
    """A recogniser fitted to what is kept of photographs.

    Args:
      made: the model that kept them.
      classes: names of the C.
      photos: each of the C classes has one.
      unknown_rate: as of `fit`.
      alike: unlabelled photographs that these were moved among; None where they were not.

    Raises:
      UserError: as `fit`.
    """
    _check(len(classes), unknown_rate)
    # Where others use the cores too, threads of so little work wait for each other far longer
    # than they work
    with threadpool_limits(1 if len(photos.names) <= FEW else None):
        return _fitted(made, classes, photos, unknown_rate, alike)


def _check(classes: int, unknown_rate: float) -> None:
    """See that there are classes to tell apart, and that a rate is one.

    Raises:
      UserError: as `fit`.
    """
    if classes < 2:
        number = f"{classes} class{'es' * (classes != 1)}"
        raise UserError(f"{number} with photos: give those of two, to tell them apart")
    if not 0 < unknown_rate <= 1:
        raise UserError(f"an unknown rate of {unknown_rate}: give more than 0 and at most 1")


def _fitted(
    made: Made,
    classes: tuple[str, ...],
    photos: Photos,
    unknown_rate: float,
    alike: Alike | None,
) -> Fitted:
    model = made.model
    number = len(classes)
    photos = in_order(photos)
    (values, labels) = (photos.kept.values, photos.labels)
    if (values == values[0]).all():
        raise UserError("all photos look the same to the body: give others")
    state = model.fit(values, labels, number)
    judged = held_out(partial(fitted_to, model, 1.0), values, labels, number)
    temperature = 1.0 if model.calibrated else _temperature(judged, labels)
    if temperature != 1:  # familiarity depends on it
        judged = held_out(partial(fitted_to, model, temperature), values, labels, number)
    without = partial(
        left_out_classes, partial(fitted_to, model, temperature), values, labels, number
    )
    others = without()
    if unknown_rate == 1:
        threshold = NEVER
    elif alike is None:
        threshold = threshold_of(others, number, unknown_rate)
    else:
        asked = alike.kept.values
        taken = model.logits(state, asked).argmax(1)
        turns = max(2, len(np.unique(taken)))  # classes that none is taken for are not left out
        threshold = threshold_of(without((asked, taken)), turns, unknown_rate)
    return Fitted(
        classes=classes,
        photos=photos,
        model=model,
        state=state,
        familiar=familiar_to(model, state, values, labels, number),
        temperature=temperature,
        threshold=threshold,
        unknown_rate=unknown_rate,
        expected=_expected(judged, labels, others, threshold),
        chosen=made.why,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        alike=alike,
    )


def familiar_to(
    model: Model, state: Arrays, values: np.ndarray, labels: np.ndarray, classes: int
) -> Familiar:
    """The class means of photographs.

    Args:
      model: that kept and fitted them.
      state: what it fitted.
      values: [M,...] of the photographs.
      labels: int [M].
      classes: C.
    """
    return familiar_of(model.vectors(state, values), labels, classes, model.prior)


def fitted_to(
    model: Model, temperature: float, values: np.ndarray, labels: np.ndarray, classes: int
) -> Fit:
    """What a model fits to photographs.

    Args:
      model: that kept them.
      temperature: that logits are divided by.
      values: [M,...] of the photographs.
      labels: int [M].
      classes: C.
    """
    state = model.fit(values, labels, classes)
    familiar = familiar_to(model, state, values, labels, classes)
    return fit_of(model, state, familiar, temperature)


def _temperature(judged: HeldOut, labels: np.ndarray) -> float:
    """The likeliest for photographs that were held out; 1 where most classes have but one."""
    if not len(scored_rows(labels)):
        return 1.0
    classes = judged.logits.shape[1]
    sample = Sample(judged.logits, labels[judged.rows], np.ones(classes))
    return 1 / likeliest_scale(judged.logits, sample, smoothed=True)


def _expected(
    judged: HeldOut, labels: np.ndarray, others: np.ndarray, threshold: float
) -> Expected | None:
    """What was right of the photographs held out; None where there were none."""
    if not len(judged.rows):
        return None
    right = judged.logits.argmax(1) == labels[judged.rows]
    accepted = judged.familiarity >= threshold
    of_accepted = float(right[accepted].mean()) if accepted.any() else None
    return Expected(
        photos=len(judged.rows),
        accuracy=float(right.mean()),
        accepted=float(accepted.mean()),
        right_of_accepted=of_accepted,
        auroc=auroc(judged.familiarity, others),
    )
