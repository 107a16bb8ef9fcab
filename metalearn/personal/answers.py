"""Asks a recogniser what photographs show."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metalearn.data.snapshots import Snapshot
from metalearn.ops.softmax import softmax
from metalearn.personal.fitted import Fitted
from metalearn.personal.unknown import familiarity
from metalearn.transfer.centroid import unit

NEAREST = 3  # fitted photographs that an answer names


class Nearest(NamedTuple):
    """A fitted photograph that looks like another.

    Attributes:
      name: of its file.
      label: its class.
      cosine: of their features.
      thumbnail: WebP; empty where none is kept.
    """

    name: str
    label: str
    cosine: float
    thumbnail: bytes


class Answer(NamedTuple):
    """What a recogniser says of a photograph.

    Attributes:
      name: of the photograph.
      label: the likeliest class.
      probability: of that class.
      known: whether the photograph is familiar enough; else the answer is "unknown".
      familiarity: about 1 for a photograph like those fitted to; below the recogniser's threshold
        it is unknown.
      probabilities: [C], of all classes.
      nearest: the fitted photographs most like it, the nearest first.
    """

    name: str
    label: str
    probability: float
    known: bool
    familiarity: float
    probabilities: np.ndarray
    nearest: tuple[Nearest, ...]


def answer(fitted: Fitted, snapshots: Sequence[Snapshot]) -> list[Answer]:
    """What a recogniser says of photographs, in their order."""
    if not snapshots:
        return []
    values = fitted.model.ask(np.stack([snapshot.pixels for snapshot in snapshots]))
    fit = fitted.fit
    logits = fit.logits(values)
    probabilities = softmax(logits.astype(np.float64))
    familiar = familiarity(fit, values, logits)
    (places, cosines) = _nearest(fitted, fit.vectors(values))
    found = []
    for i, snapshot in enumerate(snapshots):
        likeliest = int(logits[i].argmax())
        found.append(
            Answer(
                name=snapshot.name,
                label=fitted.classes[likeliest],
                probability=float(probabilities[i, likeliest]),
                known=bool(familiar[i] >= fitted.threshold),
                familiarity=float(familiar[i]),
                probabilities=probabilities[i],
                nearest=_named(fitted, places[i], cosines[i]),
            )
        )
    return found


def _nearest(fitted: Fitted, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The fitted photographs nearest to vectors [Q,D]: places and cosines, both [Q,n]."""
    cosines = unit(vectors - fitted.familiar.centre) @ fitted.directions.T
    places = np.argsort(-cosines, axis=1, kind="stable")[:, :NEAREST]
    return places, np.take_along_axis(cosines, places, 1)


def _named(fitted: Fitted, places: np.ndarray, cosines: np.ndarray) -> tuple[Nearest, ...]:
    photos = fitted.photos
    return tuple(
        Nearest(
            name=photos.names[place],
            label=fitted.classes[photos.labels[place]],
            cosine=float(cosine),
            thumbnail=photos.thumbnails[place],
        )
        for place, cosine in zip(places, cosines, strict=True)
    )
