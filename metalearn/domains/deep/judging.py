"""How good a trained body is in both domains, and what validators say of it without labels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metalearn.domains.discriminator import density_ratio
from metalearn.domains.distance import proxy_a_distance
from metalearn.domains.trial import Outcome, reached, validator_names
from metalearn.domains.validators import VALIDATORS, Judged

FEW = 1000  # images of a domain whose features tell densities and distances


class Answers(NamedTuple):
    """What a body and its classifier make of some images.

    Attributes:
      z: [M,D], features.
      logits: [M,C].
      y: int [M], labels; of the target's training images -1.
    """

    z: np.ndarray
    logits: np.ndarray
    y: np.ndarray


class Answered(NamedTuple):
    """Answers for both domains.

    Attributes:
      source, target: of training images, or some of them.
      source_held: of validation images of the source; None where it has none.
      source_test, target_test: of test images.
    """

    source: Answers
    target: Answers
    source_held: Answers | None
    source_test: Answers
    target_test: Answers


def outcome_of(
    answered: Answered, names: Sequence[str], distance: float | None, seconds: float
) -> Outcome:
    """What a trained state reached, without the seconds of its training.

    Args:
      answered: by it.
      names: of the classes.
      distance: of the domains, see `distance_of`; None where it was not measured.
      seconds: that the answers took.

    Raises:
      UserError: what the scores refuse.
    """
    source = reached(answered.source_test.logits, answered.source_test.y, names)
    target = reached(answered.target_test.logits, answered.target_test.y, names)
    (of_source, of_target) = answered.source.z[:FEW], answered.target.z[:FEW]
    held = answered.source_held
    none = answered.target
    judged = Judged(none.logits[:0], none.y[:0], np.zeros(0), none.logits)
    if held is not None:
        ratio = density_ratio(of_source, of_target).at(held.z)
        judged = Judged(held.logits, held.y, ratio, answered.target.logits)
    scores = [VALIDATORS[name].score(judged) for name in validator_names(held is not None)]
    return Outcome(source, target, scores, distance, 0.0, seconds)


def distance_of(source_z: np.ndarray, target_z: np.ndarray) -> float:
    """Proxy A-distance of features [M,D] and [N,D], the first thousand of each."""
    return proxy_a_distance(source_z[:FEW], target_z[:FEW])
