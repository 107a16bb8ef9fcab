"""Prototypical networks.

Snell, Swersky, Zemel. Prototypical Networks for Few-shot Learning. NeurIPS 2017, algorithm 1.
Training episodes may have more ways than test episodes (section 3.2): build one learner for each,
they share `meta`.
"""

from dataclasses import dataclass

import jax.numpy as jnp

from metalearn.learners import embedding
from metalearn.learners.heads import nearest_centroid
from metalearn.learners.recipes import PHOTOGRAPHS, PUBLISHED, Recipe
from metalearn.settings import Scaled, setting
from metalearn.types import Array, Head, Key, Learner, Network, PyTree, TrainedHead


@dataclass(frozen=True)
class Settings(embedding.Settings, Scaled):
    """What prototypical networks read."""

    distance: str = setting("euclidean", "of prototypes: euclidean (squared) or cosine")
    learned_scale: bool = setting(
        False,
        "protonet divides distances by the number of features, and learns --scale",
    )


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

    Example: with pixels as features, logits are negative squared distances to the class means. Of
    the two classes here these are 0 and 4.

        >>> import jax, jax.numpy as jnp
        >>> from metalearn.learners.protonet import protonet
        >>> from metalearn.types import Network
        >>> def apply(params, x, moments=None, key=None):
        ...     return x.reshape(len(x), -1)
        >>> body = Network(lambda key, x: {}, apply, moments=lambda params, x: {})
        >>> learner = protonet(body, ways=2, norm="none")
        >>> support = jnp.array([-1.0, 1.0, 3.0, 5.0]).reshape(4, 1, 1, 1)  # 2 ways, 2 shots
        >>> meta = learner.init(jax.random.key(0), support[:1])
        >>> labels = jnp.array([0, 0, 1, 1])
        >>> adapted = learner.adapt(jax.random.key(1), meta, support, labels)
        >>> learner.predict(meta, adapted, jnp.ones((1, 1, 1, 1))).tolist()
        [[-1.0, -9.0]]
    """
    head = scaled_centroid(distance, scale) if learned_scale else nearest_centroid(distance, scale)
    return embedding.embedding(network, head, ways, norm)


def scaled_centroid(distance: str, scale: float) -> TrainedHead:
    """The nearest centroid with a learned scale.

    Euclidean distances are divided by the number of features D, as by the prototypical networks of
    Lee et al. 2019's released code, whose scale begins at 1.
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


def build(settings: Settings, network: Network, ways: int, norm: str) -> Learner:
    """The learner of these settings.

    Args:
      settings: those of the method.
      network, ways, norm: see `protonet`.
    """
    return protonet(
        network,
        ways,
        distance=settings.distance,
        scale=settings.scale,
        norm=norm,
        learned_scale=settings.learned_scale,
    )


def recipe(dataset: str, shots: int) -> Recipe:
    """Snell et al. 2017, section 3: Adam at 1e-3, halved every 2,000 episodes.

    Training is 60-way 5-query on Omniglot, and 30-way on miniImageNet for 1 shot, 20-way for 5. On
    colour images queries (there 15), schedule, augmentation and meta-batch are ours. What
    validation has picked is tested; their released code then trains on the validation classes too.
    """
    omniglot = dict(
        backbone="conv4-64",
        norm="running",
        lr=1e-3,
        schedule="halve:2000",
        train_ways=60,
        train_queries=5,
        meta_batch=1,
        steps=10_000,
        valid_every=500,
    )
    if dataset == "omniglot":
        return omniglot
    if dataset == "glyphs":
        return omniglot | dict(train_ways=20, meta_batch=2, steps=1500)
    ways = dict(train_ways=30 if shots == 1 else 20) if dataset in PUBLISHED else {}
    return PHOTOGRAPHS | ways | dict(steps=10_000)
