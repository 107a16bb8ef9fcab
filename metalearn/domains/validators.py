"""How good an adapted classifier is without labels of the target: scores, the higher the better.

They choose settings and the time to stop. What the target's labels say is `oracle`, which no
choice may read; it is no member of `VALIDATORS`, and tables show it apart.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from metalearn.errors import UserError
from metalearn.ops.softmax import log_softmax, softmax

TEMPERATURE = 0.05  # of the neighbourhood density, the paper's
ROWS = 1024  # compared with all others at once


class Judged(NamedTuple):
    """What a classifier says of images that it was not fitted to.

    Attributes:
      source_logits: [V,C], of held-out source images.
      source_y: int [V].
      source_ratio: [V], density of the target over that of the source at these images, by a
        `density_ratio` of other images than these.
      target_logits: [N,C].
    """

    source_logits: np.ndarray
    source_y: np.ndarray
    source_ratio: np.ndarray
    target_logits: np.ndarray


class Validator(NamedTuple):
    """A score of `Judged`, the higher the better, and its paper."""

    score: Callable[[Judged], float]
    source: str


def _entropies(logits: np.ndarray) -> np.ndarray:
    """Entropy [.] in nats of the predictions by logits [.,C]."""
    logs = log_softmax(np.asarray(logits, np.float64))
    return -(np.exp(logs) * logs).sum(-1)


def confidence(judged: Judged) -> float:
    """The mean entropy of the target's predictions, nats, negative.

    It is the highest for a classifier that gives one class to all, with confidence.
    """
    return -float(_entropies(judged.target_logits).mean())


def information(judged: Judged) -> float:
    """Mutual information of image and prediction, nats.

    The entropy of the mean prediction less the mean entropy, so that one class for all is worth
    nothing; it takes the target's classes to be about as frequent as each other.
    """
    mean = softmax(np.asarray(judged.target_logits, np.float64)).mean(0)
    return float(-(mean * np.log(np.maximum(mean, 1e-300))).sum()) + confidence(judged)


def neighbourhood_density(judged: Judged) -> float:
    """Soft neighbourhood density: entropy of how similar predictions are to each other.

    Cosines of the predictions with all others, over a temperature of 0.05, become shares by
    softmax; the score is their mean entropy in nats. In memory: 1,024 rows of cosines.

    Raises:
      UserError: fewer than two images.
    """
    p = softmax(np.asarray(judged.target_logits, np.float64))
    if len(p) < 2:
        raise UserError(f"neighbourhood density of {len(p)} images: it takes two or more")
    p /= np.linalg.norm(p, axis=1, keepdims=True)
    total = 0.0
    for first in range(0, len(p), ROWS):
        cosines = p[first : first + ROWS] @ p.T / TEMPERATURE
        rows = np.arange(len(cosines))
        others = np.ones(cosines.shape, bool)
        others[rows, first + rows] = False
        total += _entropies(cosines[others].reshape(len(cosines), -1)).sum()
    return float(total / len(p))


def deep_embedded(judged: Judged) -> float:
    """Weighted cross-entropy of held-out source images, nats, negative: DEV.

    With weights w and losses l the risk is mean(w l) + eta mean(w) - eta: as weights have a mean of
    1 over the source, that is no other in the mean, and eta = -cov(w l, w) / var(w) makes it vary
    least. Equal weights leave the plain risk.
    """
    own = np.arange(len(judged.source_y))
    losses = -log_softmax(np.asarray(judged.source_logits, np.float64))[own, judged.source_y]
    w = judged.source_ratio
    weighted = w * losses
    spread = w.var()
    eta = -((weighted - weighted.mean()) * (w - w.mean())).mean() / spread if spread > 0 else 0.0
    return -float(weighted.mean() + eta * (w.mean() - 1))


def source_accuracy(judged: Judged) -> float:
    """Fraction of right answers among held-out source images."""
    return float((judged.source_logits.argmax(1) == judged.source_y).mean())


VALIDATORS = {
    "entropy": Validator(confidence, "Morerio et al. 2018"),
    "information": Validator(information, "Shi & Sha 2012"),
    "density": Validator(neighbourhood_density, "Saito et al. 2021"),
    "dev": Validator(deep_embedded, "You et al. 2019"),
    "source": Validator(source_accuracy, ""),
}


def oracle(target_logits: np.ndarray, target_y: np.ndarray) -> float:
    """Fraction of right answers among target images, by their labels: what no validator knows."""
    return float((target_logits.argmax(1) == target_y).mean())
