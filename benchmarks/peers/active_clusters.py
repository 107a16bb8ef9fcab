"""Clusters of a pool, and images of one after the other, as published for TypiClust."""

from collections.abc import Callable

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans

from benchmarks._lib.pool import Drawn

FEW = 50  # clusters up to which all images are used in every iteration (TypiClust, appendix F)
BATCH = 5000  # images of an iteration otherwise
SMALL = 5  # images; smaller clusters are left out


def clusters_of(z: np.ndarray, clusters: int, rng: np.random.Generator) -> KMeans:
    """Fitted k-means; by parts of the pool where clusters are many."""
    seed = int(rng.integers(2**31))
    if clusters <= FEW:
        return KMeans(clusters, random_state=seed).fit(z)
    return MiniBatchKMeans(clusters, batch_size=BATCH, random_state=seed).fit(z)


def turns_of(pool: Drawn, of: np.ndarray, clusters: int) -> np.ndarray:
    """Clusters without labelled images first, larger ones first; small ones are left out."""
    sizes = np.bincount(of, minlength=clusters)
    known = np.bincount(of[pool.labelled], minlength=clusters)
    order = np.lexsort((-sizes, known))
    return order[sizes[order] >= SMALL]


def by_cluster(
    pool: Drawn, of: np.ndarray, clusters: int, k: int, score: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """The best image of each cluster in turn, as a score of those that are left says.

    Args:
      pool: of N images.
      of: int [N], the cluster of each.
      clusters: how many.
      k: images that are wanted.
      score: `int [M] -> [M]`, of images of a cluster, the higher the better.
    """
    turns = turns_of(pool, of, clusters)
    members = {one: np.flatnonzero(of == one) for one in turns[:k]}
    free = np.ones(len(of), bool)
    free[pool.labelled] = False
    found: list[int] = []
    while len(found) < k:
        one = turns[len(found) % len(turns)]
        if one not in members:
            members[one] = np.flatnonzero(of == one)
        left = members[one][free[members[one]]]
        place = int(left[score(left).argmax()])
        found.append(place)
        free[place] = False
    return np.array(found)
