"""Classifiers that agree on the source and on the target: MDD."""

import jax
import jax.numpy as jnp

from metalearn.domains.deep.networks import reversal_weight, reversed_gradient
from metalearn.domains.deep.types import Penalty, Seen
from metalearn.ops.classifier import classify, init_classifier
from metalearn.ops.losses import cross_entropy
from metalearn.types import Array, Key, PyTree

MARGIN = 4.0  # gamma, the paper's
MOST = 0.1  # of the reversed gradient's weight, the released code's


def mdd() -> Penalty:
    """Zhang et al. 2019, "Bridging theory and algorithm for domain adaptation".

    A second classifier agrees with the first one on the source and differs from it on the target as
    well as it can; the body leaves it no room to (equation 30). Deviation: both are linear layers,
    where the released code has two layers each.
    """

    def init(key: Key, features: int, classes: int) -> PyTree:
        return init_classifier(key, "linear", features, classes)

    def loss(params: PyTree, seen: Seen) -> Array:
        weight = MOST * reversal_weight(seen.progress)
        (source, target) = (
            classify("linear", params, reversed_gradient(z, weight))
            for z in (seen.source_z, seen.target_z)
        )
        agreed = cross_entropy(source, seen.source_logits.argmax(-1))
        return MARGIN * agreed + disagreement(target, seen.target_logits.argmax(-1))

    return Penalty(init, loss)


def disagreement(logits: Array, labels: Array) -> Array:
    """Mean of -log(1 - p) in nats, p the probability of an image's label; logits [B,C]."""
    logs = jax.nn.log_softmax(logits)
    own = jax.nn.one_hot(labels, logits.shape[-1]) > 0
    # The others' probabilities, added: 1 - p would be 0 for a p near 1
    rest = jax.nn.logsumexp(jnp.where(own, -jnp.inf, logs), axis=-1)
    return -rest.mean()
