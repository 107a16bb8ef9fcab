"""Predictions that confuse few classes: MCC."""

import jax
import jax.numpy as jnp

from metalearn.domains.deep.matching import no_parameters
from metalearn.domains.deep.types import Penalty, Seen
from metalearn.types import Array, PyTree

TEMPERATURE = 2.5  # the paper's
TINY = 1e-12


def mcc() -> Penalty:
    """Jin et al. 2020, "Minimum class confusion for versatile domain adaptation"."""

    def loss(params: PyTree, seen: Seen) -> Array:
        return class_confusion(seen.target_logits)

    return Penalty(no_parameters, loss)


def class_confusion(logits: Array, temperature: float = TEMPERATURE) -> Array:
    """How much probability two classes share in the same images (equations 2 to 6), 0 to 1.

    As in the released code, no gradient flows through the images' weights.

    Args:
      logits: [B,C].
      temperature: they are divided by.
    """
    p = jax.nn.softmax(logits / temperature)
    entropy = jax.lax.stop_gradient(jax.scipy.special.entr(p).sum(-1))
    weights = 1 + jnp.exp(-entropy)
    weights = len(p) * weights / weights.sum()
    confusion = (p * weights[:, None]).T @ p
    # A class that no image may be has a row of zeros
    confusion /= confusion.sum(1, keepdims=True) + TINY
    return (confusion.sum() - jnp.trace(confusion)) / p.shape[-1]
