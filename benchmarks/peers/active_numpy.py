"""Strategies of active learning as their papers say, in loops of NumPy and scikit-learn.

`WORK [products]`: with `products`, BADGE's gradients are not built.
"""

import heapq
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import sklearn
from sklearn.neighbors import NearestNeighbors

from benchmarks._lib.pool import Drawn
from benchmarks._lib.work import Work
from benchmarks.peers.active_clusters import by_cluster, clusters_of
from benchmarks.peers.active_common import ROWS, need, run, similarities

NEIGHBOURS = 20
MOST_CLUSTERS = 500
PURE = 0.95
JUDGED = 2048


def margin(pool: Drawn, k: int, rng: np.random.Generator) -> np.ndarray:
    """The least difference of the two highest probabilities."""
    del rng
    two = np.partition(pool.p, -2, axis=1)[:, -2:]
    apart = two[:, 1] - two[:, 0]
    apart[pool.labelled] = np.inf
    some = np.argpartition(apart, k)[:k]
    return some[np.argsort(apart[some])]


def k_centre(pool: Drawn, k: int, rng: np.random.Generator) -> np.ndarray:
    """Greedily, the image farthest from all labelled ones (Sener & Savarese 2018, algorithm 1)."""
    del rng
    z = pool.z
    lengths = np.square(z).sum(1)
    nearest = np.full(len(z), np.inf, np.float32)
    for start in range(0, len(pool.labelled), ROWS):
        some = z[pool.labelled[start : start + ROWS]]
        squares = lengths[:, None] + np.square(some).sum(1) - 2 * (z @ some.T)
        nearest = np.minimum(nearest, squares.min(1))
    nearest[pool.labelled] = -1
    found = []
    for _ in range(k):
        place = int(nearest.argmax())
        found.append(place)
        nearest = np.minimum(nearest, lengths + lengths[place] - 2 * (z @ z[place]))
        nearest[place] = -1
    return np.array(found)


def drawn_apart(
    squares: Callable[[int], np.ndarray],
    lengths: np.ndarray,
    known: np.ndarray,
    k: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """k-means++: the longest one, then each drawn by its squared distance from the nearest.

    Args:
      squares: `(place) -> [N]`, squared distances from one.
      lengths: squared, [N].
      known: int [L], positions that are not drawn.
      k: how many.
      rng: draws.
    """
    nearest = lengths.copy()
    nearest[known] = 0
    found = [int(nearest.argmax())]
    nearest = np.full(len(lengths), np.inf)
    while len(found) < k:
        nearest = np.minimum(nearest, squares(found[-1]))
        nearest[known] = nearest[found] = 0
        found.append(int(rng.choice(len(nearest), p=nearest / nearest.sum())))
    return np.array(found)


def badge(pool: Drawn, k: int, rng: np.random.Generator) -> np.ndarray:
    """BADGE (Ash et al. 2020, algorithm 1) with built gradients [N,C*D]."""
    classes = pool.p.shape[1]
    need(2 * pool.z.nbytes * classes, "gradients")
    gradients = errors_of(pool)[:, :, None] * pool.z[:, None, :]
    built = gradients.reshape(len(pool.z), -1)
    lengths = np.einsum("nd,nd->n", built, built)

    def squares(place: int) -> np.ndarray:
        return np.maximum(lengths + lengths[place] - 2 * (built @ built[place]), 0)

    return drawn_apart(squares, lengths, pool.labelled, k, rng)


def badge_by_products(pool: Drawn, k: int, rng: np.random.Generator) -> np.ndarray:
    """The same, by products of errors and of features, which are a product of gradients."""
    errors = errors_of(pool)
    z = pool.z
    lengths = np.square(errors).sum(1) * np.square(z).sum(1)

    def squares(place: int) -> np.ndarray:
        products = (errors @ errors[place]) * (z @ z[place])
        return np.maximum(lengths + lengths[place] - 2 * products, 0)

    return drawn_apart(squares, lengths, pool.labelled, k, rng)


def errors_of(pool: Drawn) -> np.ndarray:
    """Probabilities less those that the guesses would have, [N,C]."""
    return pool.p - np.eye(pool.p.shape[1], dtype=np.float32)[pool.p.argmax(1)]


def typiclust(pool: Drawn, k: int, rng: np.random.Generator) -> np.ndarray:
    """TypiClust (Hacohen et al. 2022, algorithm 1)."""
    clusters = min(len(pool.labelled) + k, MOST_CLUSTERS)
    of = clusters_of(pool.z, clusters, rng).labels_

    def typicality(rows: np.ndarray) -> np.ndarray:
        near = max(1, min(NEIGHBOURS, len(rows) // 2))
        if len(rows) == 1:
            return np.ones(1)
        search = NearestNeighbors(n_neighbors=near + 1, algorithm="brute").fit(pool.z[rows])
        return 1 / (search.kneighbors(pool.z[rows])[0][:, 1:].mean(1) + 1e-5)

    return by_cluster(pool, of, clusters, k, typicality)


def k_means(pool: Drawn, k: int, rng: np.random.Generator) -> np.ndarray:
    """The image nearest to the mean of each of the largest clusters (after Zhdanov 2019)."""
    clusters = min(len(pool.labelled) + k, MOST_CLUSTERS)
    fitted = clusters_of(pool.z, clusters, rng)
    of = fitted.labels_

    def nearness(rows: np.ndarray) -> np.ndarray:
        return -np.square(pool.z[rows] - fitted.cluster_centers_[of[rows]]).sum(1)

    return by_cluster(pool, of, clusters, k, nearness)


class Graph(NamedTuple):
    """Neighbours of N images: those of image i are `ends[begins[i]:begins[i + 1]]`."""

    begins: np.ndarray
    ends: np.ndarray

    def of(self, place: int) -> np.ndarray:
        """Neighbours of one."""
        return self.ends[self.begins[place] : self.begins[place + 1]]


def graph_of(z: np.ndarray, least: float) -> Graph:
    """Images whose cosine is at least that, found in blocks."""
    counts = np.zeros(len(z), np.int64)
    ends = []
    for start in range(0, len(z), ROWS):
        (rows, others) = np.nonzero(z[start : start + ROWS] @ z.T >= least)
        counts[start : start + ROWS] = np.bincount(rows, minlength=len(z[start : start + ROWS]))
        ends.append(others.astype(np.int32))
    return Graph(np.concatenate([[0], np.cumsum(counts)]), np.concatenate(ends))


def pure_cosine(pool: Drawn, rng: np.random.Generator) -> float:
    """At which 95 % of the neighbourhoods of some images are of one cluster (section 4.1)."""
    of = clusters_of(pool.z, pool.p.shape[1], rng).labels_
    others = []
    for rows in np.array_split(rng.permutation(len(of))[:JUDGED], max(1, JUDGED // ROWS)):
        cosines = pool.z[rows] @ pool.z.T
        others.append(np.where(of[rows, None] == of, -1, cosines).max(1))
    return float(np.quantile(np.concatenate(others), PURE))


def prob_cover(pool: Drawn, k: int, rng: np.random.Generator) -> np.ndarray:
    """ProbCover (Yehuda et al. 2022, algorithm 1) on a sparse graph."""
    number = len(pool.z)
    graph = graph_of(pool.z, pure_cosine(pool, rng))
    degrees = np.diff(graph.begins)
    uncovered = np.ones(number, bool)

    def cover(place: int) -> None:
        new = graph.of(place)
        new = new[uncovered[new]]
        uncovered[new] = False
        for one in new:
            degrees[graph.of(one)] -= 1

    free = np.ones(number, bool)
    free[pool.labelled] = False
    for place in pool.labelled:
        cover(int(place))
    found = []
    for _ in range(k):
        place = int(np.where(free, degrees, -1).argmax())
        found.append(place)
        free[place] = False
        cover(place)
    return np.array(found)


def facility_location(pool: Drawn, k: int, rng: np.random.Generator) -> np.ndarray:
    """What serves all images best, greedily; gains anew where they matter (Minoux 1978)."""
    del rng
    similar = similarities(pool.z)
    served = np.zeros(len(pool.z), np.float32)
    for place in pool.labelled:
        np.maximum(served, similar[place], out=served)

    def gain(place: int) -> float:
        return float(np.maximum(similar[place] - served, 0).sum())

    labelled = set(pool.labelled.tolist())
    waiting = [(-gain(place), place) for place in range(len(served)) if place not in labelled]
    heapq.heapify(waiting)
    found: list[int] = []
    while len(found) < k:
        place = waiting[0][1]
        now = (-gain(place), place)
        heapq.heapreplace(waiting, now)
        if waiting[0] == now:
            heapq.heappop(waiting)
            found.append(place)
            np.maximum(served, similar[place], out=served)
    return np.array(found)


STRATEGIES = {
    "margin": margin,
    "k_centre": k_centre,
    "badge": badge,
    "typiclust": typiclust,
    "prob_cover": prob_cover,
    "k_means": k_means,
    "facility_location": facility_location,
}


def strategy(work: Work, how: str = "") -> Callable:
    """The one that the work names."""
    if how == "products":
        return badge_by_products
    return STRATEGIES[work.part]


if __name__ == "__main__":
    run(strategy, {"numpy": np.__version__, "scikit-learn": sklearn.__version__})
