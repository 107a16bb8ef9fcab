"""How well a recogniser does on labelled photographs, of its classes and of others."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from metalearn.data.snapshots import Snapshot
from metalearn.errors import UserError
from metalearn.evaluation.scores import Scores, scores
from metalearn.personal.fitted import Fitted
from metalearn.personal.fitting import fitted_to
from metalearn.personal.unknown import auroc, familiarity, held_out


class Evaluation(NamedTuple):
    """What a recogniser did on labelled photographs.

    Attributes:
      scores: of the photographs of its classes, all of which are answered.
      accepted: share of these that are not taken for unknown.
      right_of_accepted: share that is right among those; None without any.
      others: photographs of classes that it does not have.
      others_accepted: share of those that are taken for a class of its own.
      auroc: probability that a photograph of a class of its own is more familiar than another;
        None without photographs of others.
    """

    scores: Scores
    accepted: float
    right_of_accepted: float | None
    others: int
    others_accepted: float
    auroc: float | None


def judged(fitted: Fitted, classes: Mapping[str, Sequence[Snapshot]]) -> Evaluation:
    """Test a recogniser on photographs, those of classes that it does not have as unknown.

    Args:
      fitted: the recogniser.
      classes: photographs of each class.

    Raises:
      UserError: no photograph is of one of its classes.
    """
    places = {name: place for place, name in enumerate(fitted.classes)}
    own = [s for name, some in classes.items() if name in places for s in some]
    labels = [places[name] for name, some in classes.items() if name in places for _ in some]
    others = [s for name, some in classes.items() if name not in places for s in some]
    if not own:
        raise UserError(
            f"no photo is of a class of this recogniser ({', '.join(fitted.classes)}): name the "
            "folders like its classes"
        )
    (logits, familiar) = _asked(fitted, own)
    unfamiliar = _asked(fitted, others)[1] if others else np.zeros(0)
    return evaluated(fitted, (logits, familiar), np.array(labels), unfamiliar)


def evaluated(
    fitted: Fitted,
    answers: tuple[np.ndarray, np.ndarray],
    labels: np.ndarray,
    unfamiliar: np.ndarray,
) -> Evaluation:
    """The evaluation of answers.

    Args:
      fitted: the recogniser, for its threshold and its classes.
      answers: logits [Q,C] and familiarity [Q] of photographs of its classes.
      labels: int [Q].
      unfamiliar: [U], familiarity of photographs of others.
    """
    (logits, familiar) = answers
    accepted = familiar >= fitted.threshold
    right = logits.argmax(1) == labels
    return Evaluation(
        scores=scores(logits, labels, fitted.classes),
        accepted=float(accepted.mean()),
        right_of_accepted=float(right[accepted].mean()) if accepted.any() else None,
        others=len(unfamiliar),
        others_accepted=float((unfamiliar >= fitted.threshold).mean()) if len(unfamiliar) else 0.0,
        auroc=auroc(familiar, unfamiliar) if len(unfamiliar) else None,
    )


def _asked(fitted: Fitted, snapshots: Sequence[Snapshot]) -> tuple[np.ndarray, np.ndarray]:
    """Logits [Q,C] and familiarity [Q] of photographs."""
    return asked(fitted, fitted.model.ask(np.stack([snapshot.pixels for snapshot in snapshots])))


def asked(fitted: Fitted, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits [Q,C] and familiarity [Q] of the values [Q,...] of photographs."""
    logits = fitted.fit.logits(values)
    return logits, familiarity(fitted.fit, values, logits)


def known_of_alike(fitted: Fitted) -> float | None:
    """Share of the unlabelled photographs that are not taken for unknown; None without any."""
    if fitted.alike is None:
        return None
    (_, familiar) = asked(fitted, fitted.alike.kept.values)
    return float((familiar >= fitted.threshold).mean())


def on_its_own(fitted: Fitted) -> Evaluation:
    """Test a recogniser on its own photographs, each held out in turn.

    Raises:
      UserError: each is alone in its class.
    """
    photos = fitted.photos
    fitting = partial(fitted_to, fitted.model, fitted.temperature)
    found = held_out(fitting, photos.kept.values, photos.labels, len(fitted.classes))
    if not len(found.rows):
        raise UserError(
            "each photo of this recogniser is alone in its class, so none can be held out: give a "
            "folder of other photos to evaluate it on"
        )
    return evaluated(
        fitted, (found.logits, found.familiarity), photos.labels[found.rows], np.zeros(0)
    )
