"""What a training leaves: meta-parameters, the images they take, how well they did."""

import math
from typing import NamedTuple

from metalearn.config import Config
from metalearn.types import InputSpec, PyTree

UNKNOWN = 0.0  # validation accuracy of a run without validation images


class Best(NamedTuple):
    """The best checkpoint so far: its validation accuracy, or another score, and its step."""

    accuracy: float = -math.inf  # before any; of runs of older versions -1
    step: int = 0


class Trained(NamedTuple):
    """What a training leaves: enough to test or use it without its data set or its optimiser.

    Attributes:
      meta: what did best on validation, with running statistics under `moments` where the method
        has any; of a run of an older version without.
      inputs: the images that it takes; None of a run of an older version.
      best: when, and how well.
    """

    meta: PyTree
    inputs: InputSpec | None
    best: Best


def is_over(config: Config, step: int, best: Best) -> bool:
    """Whether a run's training is at its end, or was stopped early.

    Args:
      config: the run's settings.
      step: that it is at.
      best: its best checkpoint so far.
    """
    patience = config.patience * config.valid_every
    return step >= config.steps or bool(0 < patience <= step - best.step)
