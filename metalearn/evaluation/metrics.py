"""Metrics of test episodes: accuracy with its interval, cross-entropy, calibration."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.errors import UserError
from metalearn.evaluation.calibration import BINS
from metalearn.ops.losses import cross_entropy
from metalearn.types import Array


class Result(NamedTuple):
    """What evaluating a learner on E episodes gives.

    Attributes:
      accuracies: float32 [E], fraction of each episode's queries that are classified correctly.
      loss: mean cross-entropy of the queries, nats.
      ece: expected calibration error over all queries (Guo et al. 2017, equation 3, 15 bins), in
        [0, 1].
      seconds: wall clock, compilation included.
    """

    accuracies: np.ndarray
    loss: float
    ece: float
    seconds: float

    @property
    def accuracy(self) -> float:
        """Mean over episodes."""
        return float(self.accuracies.mean())

    @property
    def ci95(self) -> float:
        """Half the width of the 95 % confidence interval of the mean, 1.96 sd / sqrt(E).

        0 of one episode, which has no deviation.
        """
        if len(self.accuracies) < 2:
            return 0.0
        return float(1.96 * self.accuracies.std(ddof=1) / len(self.accuracies) ** 0.5)


def episode_metrics(logits: Array, labels: Array) -> dict[str, Array]:
    """Accuracy, loss and calibration counts [3, BINS] of one episode.

    For each bin of confidence, the counts are queries, correct ones, and summed confidence.
    `finite` says whether the numbers mean anything.
    """
    probability = jax.nn.softmax(logits, -1)
    right = (logits.argmax(-1) == labels).astype(jnp.float32)
    confidence = probability.max(-1)
    # Guo et al. bin by intervals that are open below, (b / BINS, (b + 1) / BINS]
    bins = jnp.clip(jnp.ceil(confidence * BINS) - 1, 0, BINS - 1).astype(jnp.int32)
    member = jax.nn.one_hot(bins, BINS)
    calibration = jnp.stack([member.sum(0), right @ member, confidence @ member])
    loss = cross_entropy(logits, labels)
    # NaN logits have their largest at class 0: a method that diverged would have chance accuracy.
    # Finite logits may still overflow in the loss
    finite = jnp.isfinite(logits).all() & jnp.isfinite(loss)
    return {"accuracy": right.mean(), "loss": loss, "calibration": calibration, "finite": finite}


def check_finite(finite: np.ndarray) -> None:
    """Checks that the logits of every episode were finite.

    Raises:
      UserError: some were not; the first such episode is named.
    """
    if finite.all():
        return
    bad = np.flatnonzero(~finite)
    raise UserError(
        f"the logits of {len(bad)} of {len(finite)} episodes are not finite, first of episode "
        f"{bad[0]}: try a smaller --inner_lr or fewer --test_inner_steps, or train with a smaller "
        "--lr in a new --workdir"
    )
