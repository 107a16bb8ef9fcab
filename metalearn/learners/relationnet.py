"""Relation networks.

Sung, Yang, Zhang, Xiang, Torr, Hospedales. Learning to Compare: Relation Network for Few-Shot
Learning. CVPR 2018.
"""

import jax
import jax.numpy as jnp

from metalearn.learners.embedding import Settings, embedding
from metalearn.learners.recipes import CHARACTERS, PHOTOGRAPHS, PLAIN, Recipe
from metalearn.ops.losses import squared_error
from metalearn.types import Array, Head, Key, Learner, Network, PyTree, TrainedHead


def relation_head(module: Network) -> TrainedHead:
    """A learned comparison of a query's feature map with every class's (section 3.2, equation 1).

    module takes the classes' maps [N,H,W,F] and the queries' [Q,H,W,F] to scores [Q,N] before the
    sigmoid. A class's map is the sum of those of its support images (section 3.2, "K-shot"); where
    classes have unequal numbers of images, their mean times the mean number.
    """

    def init(key: Key, shape: tuple[int, ...]) -> PyTree:
        one = jnp.zeros((1, *shape))
        return module.init(key, (one, one))

    def head(params: PyTree) -> Head:
        def fit(key: Key, z: Array, y: Array, ways: int) -> Array:
            members = jax.nn.one_hot(y, ways, dtype=z.dtype)
            counts = jnp.maximum(members.sum(0), 1)
            # All pairs of a query are normalised together: a longer sum would change all scores
            even = len(z) / ways / counts
            return jnp.einsum("sn,shwf->nhwf", members * even, z)

        return Head(fit, lambda classes, z: module.apply(params, (classes, z)))

    return TrainedHead(init, head)


def relationnet(network: Network, module: Network, ways: int, norm: str = "running") -> Learner:
    """Train the body and the comparison on squared errors of the scores (equation 2).

    Deviation: the module should be one that normalises the pairs of each query among themselves, or
    a score would depend on other queries, as in the released code, which normalises images by the
    moments of their call as well.

    Args:
      network: the body; its features are maps [B,H,W,F].
      module: compares them, see `relation_head`.
      ways: N of the episodes.
      norm: of the body, see `embedding`.
    """
    return embedding(network, relation_head(module), ways, norm, squared_error)


def build(settings: Settings, network: Network, ways: int, norm: str, relation: Network) -> Learner:
    """The learner of these settings.

    Args:
      settings: those of the method.
      network, ways, norm: see `relationnet`.
      relation: compares feature maps, see `relation_head`.
    """
    return relationnet(network, relation, ways, norm)


def recipe(dataset: str, shots: int) -> Recipe:
    """Sung et al. 2018's network and loss; all else is ours, as for prototypical networks."""
    ours = PHOTOGRAPHS | dict(backbone="conv4-64-map", train_queries=10, meta_batch=1, steps=40_000)
    return ours | PLAIN if dataset in CHARACTERS else ours
