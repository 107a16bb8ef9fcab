"""Prototypical networks.

Snell, Swersky, Zemel. Prototypical Networks for Few-shot Learning. NeurIPS 2017, algorithm 1.
Training episodes may have more ways than test episodes (section 3.2): build one learner for each,
they share `meta`.
"""

import jax.numpy as jnp

from metalearn.learners.embedding import embedding
from metalearn.learners.heads import nearest_centroid
from metalearn.types import Array, Head, Key, Learner, Network, PyTree, TrainedHead


def protonet(
    network: Network,
    ways: int,
    distance: str = "euclidean",
    scale: float = 1.0,
    norm: str = "running",
    learned_scale: bool = False,
) -> Learner:
    """Classify a query by the nearest mean of support features.

    Args:
      network: the body.
      ways: N of the episodes.
      distance: `euclidean` (squared, as published) or `cosine`.
      scale: multiplies the logits; 10 is usual for cosine.
      norm: see `embedding`.
      learned_scale: train the scale along with the body, see `scaled_centroid`.
    """
    head = scaled_centroid(distance, scale) if learned_scale else nearest_centroid(distance, scale)
    return embedding(network, head, ways, norm)


def scaled_centroid(distance: str, scale: float) -> TrainedHead:
    """The nearest centroid with a learned scale; Euclidean distances are divided by the number of
    features D.

    As the prototypical networks of Lee et al. 2019's released code, whose scale begins at 1.
    """
    plain = nearest_centroid(distance)

    def init(key: Key, shape: tuple[int, ...]) -> PyTree:
        return {"scale": jnp.float32(scale)}

    def head(params: PyTree) -> Head:
        def predict(means: Array, z: Array) -> Array:
            divisor = z.shape[-1] if distance == "euclidean" else 1
            return params["scale"] / divisor * plain.predict(means, z)

        return Head(plain.fit, predict)

    return TrainedHead(init, head)
