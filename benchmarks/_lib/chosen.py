"""How good choices are, whoever made them: what is left to be lost, the less the better."""

from pathlib import Path

import numpy as np

from benchmarks._lib.pool import Drawn

JUDGED = 5000  # images of the pool, drawn
FIRST = 0.05  # share of neighbourhoods with an image of another class, by which a radius is set


class Judge:
    """Some images of a pool, by which choices are judged.

    Args:
      folder: of the pool.
    """

    def __init__(self, folder: Path):
        names = Drawn._fields
        self._pool = Drawn(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in names))
        number = len(self._pool.y)
        rows = np.random.default_rng(1).permutation(number)[:JUDGED]
        self._rows = np.sort(rows)
        self._z = self._pool.z[self._rows]

    def loss(self, strategy: str, places: np.ndarray) -> float:
        """What a strategy makes small.

        `margin`: the mean difference of the two highest probabilities of those chosen. `k_centre`:
        the largest distance of an image from the nearest labelled or chosen one. `badge`: the mean
        squared distance of a gradient from the nearest one chosen. `prob_cover`: the share of
        images that no labelled or chosen one is near to. `facility_location`: what the similarity
        of an image to the nearest labelled or chosen one lacks to 1, in the mean; similarity is the
        square of a positive cosine. Others: the mean squared distance of an image from the nearest
        labelled or chosen one.

        Args:
          strategy: its name.
          places: int [k], what was chosen.
        """
        if strategy == "margin":
            two = np.sort(self._pool.p[places], axis=1)[:, -2:]
            return float((two[:, 1] - two[:, 0]).mean())
        if strategy == "badge":
            return float(self._gradient_squares(places).mean())
        squares = self._squares(np.concatenate([self._pool.labelled, places]))
        if strategy == "k_centre":
            return float(np.sqrt(squares.max()))
        if strategy == "prob_cover":
            return float((squares > self._radius() ** 2).mean())
        if strategy == "facility_location":
            return float(1 - np.square(np.maximum(1 - squares / 2, 0)).mean())
        return float(squares.mean())

    def _squares(self, places: np.ndarray) -> np.ndarray:
        cosines = self._z @ self._pool.z[places].T
        return np.maximum(2 - 2 * cosines.max(1), 0)

    def _radius(self) -> float:
        """The radius at which 95 % of the neighbourhoods are of one true class."""
        of = self._pool.y[self._rows]
        cosines = self._z @ self._z.T
        nearest = np.where(of[:, None] == of, -1, cosines).max(1)
        return float(np.sqrt(np.quantile(np.maximum(2 - 2 * nearest, 0), FIRST)))

    def _gradient_squares(self, places: np.ndarray) -> np.ndarray:
        errors = [_errors(self._pool.p[rows]) for rows in (self._rows, places)]
        features = [self._z, self._pool.z[places]]
        lengths = [
            np.square(e).sum(1) * np.square(z).sum(1) for e, z in zip(errors, features, strict=True)
        ]
        products = (errors[0] @ errors[1].T) * (features[0] @ features[1].T)
        squares = lengths[0][:, None] + lengths[1] - 2 * products
        return np.maximum(squares, 0).min(1)


def _errors(p: np.ndarray) -> np.ndarray:
    return p - np.eye(p.shape[1], dtype=np.float32)[p.argmax(1)]


def missed(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Share of our choices int [k] that are not among theirs."""
    return float(1 - np.isin(ours, theirs).mean())
