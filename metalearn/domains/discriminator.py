"""How much likelier an image is in the target than in the source, by a classifier of domains.

Bickel, Brueckner & Scheffer (2009, Discriminative learning under covariate shift).
"""

from typing import NamedTuple

import numpy as np

from metalearn.transfer.fitted import Sample, linear_outputs
from metalearn.transfer.logistic import GRID, held_out, path, standardisation
from metalearn.transfer.scores import log_likelihood

MOST = 50.0  # logarithm of a ratio, whose square still has a sum


class Ratio(NamedTuple):
    """The density ratio, target over source, as exp(z w + b).

    Attributes:
      w: [D].
      b: number.
      c: scikit-learn's C, and the held-out log-likelihood it had, in nats.
      likelihood: in nats, of an image's domain.
    """

    w: np.ndarray
    b: float
    c: float
    likelihood: float

    def at(self, z: np.ndarray) -> np.ndarray:
        """The ratio [A] at features z [A,D], between exp(-50) and exp(50)."""
        return np.exp(np.clip(z @ self.w + self.b, -MOST, MOST))


def density_ratio(
    source_z: np.ndarray, target_z: np.ndarray, weights: np.ndarray | None = None
) -> Ratio:
    """The ratio by logistic regression on standardised features of both domains.

    The odds of the target times M / N. Both domains weigh the same in the fit, whatever their
    numbers, and all images of one, unless `weights` [M], above 0, says how much each of the source
    does. C has the highest likelihood in five-fold cross-validation, or on a fifth held out
    where there are more than 5,000 images: an overfitted domain classifier gives a few images all
    the weight.
    """
    z = np.concatenate([source_z, target_z]).astype(np.float32)
    y = np.repeat([0, 1], [len(source_z), len(target_z)])
    (mean, std) = standardisation(z)
    images = None if weights is None else np.concatenate([weights, np.ones(len(target_z))])
    counts = np.bincount(y, images)
    sample = Sample(((z - mean) / std).astype(np.float32), y, counts.sum() / (2 * counts), images)
    strengths = [value / max(1, int(np.isfinite(std).sum())) for value in GRID]
    pairs = held_out(sample)
    likelihoods = np.zeros(len(strengths))
    for fitted, judged in pairs:
        for i, (w, b, _) in enumerate(path(fitted, strengths)):
            likelihoods[i] += log_likelihood(linear_outputs(judged.z, w, b), judged) / len(pairs)
    best = int(likelihoods.argmax())
    (w, b, _) = next(path(sample, [strengths[best]]))
    slope = (w[:, 1] - w[:, 0]) / std
    constant = float(b[1] - b[0] - mean @ slope)
    # Balanced odds are the ratio already
    return Ratio(slope, constant, strengths[best], float(likelihoods[best]))
