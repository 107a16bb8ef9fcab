"""Prototypical networks.

Snell, Swersky, Zemel. Prototypical Networks for Few-shot Learning. NeurIPS 2017, algorithm 1. Training episodes may
have more ways than test episodes (section 3.2): build one learner for each, they share `meta`.
"""

from metalearn.base import Learner, Network
from metalearn.learners.embedding import embedding
from metalearn.learners.heads import nearest_centroid


def protonet(
    network: Network, ways: int, distance: str = "euclidean", scale: float = 1.0, norm: str = "running"
) -> Learner:
    """Classify a query by the nearest mean of support features.

    Args:
      network: the body.
      ways: N of the episodes.
      distance: `euclidean` (squared, as published) or `cosine`.
      scale: multiplies the logits; 10 is usual for cosine.
      norm: see `embedding`.
    """
    return embedding(network, nearest_centroid(distance, scale), ways, norm)
