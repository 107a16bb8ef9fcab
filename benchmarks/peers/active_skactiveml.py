"""Strategies of scikit-activeml, given features, or the probabilities of a classifier."""

from collections.abc import Callable

import numpy as np
import skactiveml
import sklearn
from skactiveml.base import SkactivemlClassifier
from skactiveml.pool import Badge, CoreSet, ProbCover, TypiClust, UncertaintySampling

from benchmarks._lib.pool import Drawn
from benchmarks._lib.work import Work
from benchmarks.peers.active_common import Pick, need, run

NEIGHBOURS = 20  # TypiClust's


class Given(SkactivemlClassifier):
    """A classifier whose probabilities of the free images are known."""

    def __init__(self, p: np.ndarray | None = None, missing_label: float = np.nan) -> None:
        """Probabilities float32 [M,C]."""
        super().__init__(missing_label=missing_label)
        self.p = p

    def fit(self, X: object, y: object, sample_weight: object = None) -> "Given":
        """Nothing is left to do."""
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities [M,C], in the order of the free images."""
        assert self.p is not None and len(X) == len(self.p)
        return self.p


def labels_of(pool: Drawn) -> np.ndarray:
    """Labels [N], those that are not known NaN."""
    y = np.full(len(pool.y), np.nan)
    y[pool.labelled] = pool.y[pool.labelled]
    return y


def head_of(pool: Drawn, y: np.ndarray) -> Given:
    """The classifier."""
    return Given(pool.p[np.isnan(y)])


def seed(rng: np.random.Generator) -> int:
    """What their generators are begun with."""
    return int(rng.integers(2**31))


def margin(pool: Drawn, k: int, rng: np.random.Generator) -> np.ndarray:
    """Of features they read none, and get a column."""
    y = labels_of(pool)
    query = UncertaintySampling(method="margin_sampling", random_state=seed(rng))
    return query.query(pool.z[:, :1], y, head_of(pool, y), fit_clf=False, batch_size=k)


def badge(pool: Drawn, k: int, rng: np.random.Generator) -> np.ndarray:
    """It builds gradients, of errors in float64."""
    y = labels_of(pool)
    need(8 * pool.z.size * pool.p.shape[1], "gradients")
    query = Badge(random_state=seed(rng))
    return np.asarray(query.query(pool.z, y, head_of(pool, y), fit_clf=False, batch_size=k))


def k_centre(pool: Drawn, k: int, rng: np.random.Generator) -> np.ndarray:
    """Core set."""
    return CoreSet(random_state=seed(rng)).query(pool.z, labels_of(pool), batch_size=k)


def typiclust(pool: Drawn, k: int, rng: np.random.Generator) -> np.ndarray:
    """k-means of scikit-learn on all images, as it is by default."""
    query = TypiClust(random_state=seed(rng), k=NEIGHBOURS)
    return query.query(pool.z, labels_of(pool), batch_size=k)


def prob_cover(pool: Drawn, k: int, rng: np.random.Generator) -> np.ndarray:
    """It keeps all distances, and masks of all pairs."""
    need((4 + 3) * len(pool.z) ** 2, "distances and masks of all pairs")
    query = ProbCover(n_classes=pool.p.shape[1], random_state=seed(rng))
    return query.query(pool.z, labels_of(pool), batch_size=k)


STRATEGIES: dict[str, Pick] = {
    "margin": margin,
    "badge": badge,
    "k_centre": k_centre,
    "typiclust": typiclust,
    "prob_cover": prob_cover,
}


def strategy(work: Work) -> Callable:
    """The one that the work names."""
    return STRATEGIES[work.part]


if __name__ == "__main__":
    versions = {"scikit-activeml": skactiveml.__version__, "scikit-learn": sklearn.__version__}
    run(strategy, versions)
