"""Features from which a discriminator cannot tell the domains: DANN, CDAN, CDAN+E.

The discriminator is trained to tell them, the body by its gradient reversed; both in one step.
"""

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.domains.deep.networks import init_layers, layers, reversal_weight, reversed_gradient
from metalearn.domains.deep.types import Penalty, Seen
from metalearn.types import Array, Key, PyTree

HIDDEN = (500, 500)  # units of the discriminator
LARGEST = 4096  # products of a feature and a class; above it, random ones stand for them
RANDOM = 1024  # how many of these


def domain_loss(params: PyTree, source: Array, target: Array, weights: Array | None) -> Array:
    """Cross-entropy in nats of telling rows of the source from rows of the target, of both added.

    Args:
      params: of the discriminator, whose output is the logarithm of the odds of the source.
      source: [B,E].
      target: [B,E].
      weights: [2,B] of the rows, with a mean of 1 over each domain; None for equal ones.
    """
    odds = layers(params, jnp.concatenate([source, target]))[:, 0]
    losses = jax.nn.softplus(jnp.concatenate([-odds[: len(source)], odds[len(source) :]]))
    (of_source, of_target) = (losses[: len(source)], losses[len(source) :])
    if weights is not None:
        (of_source, of_target) = (of_source * weights[0], of_target * weights[1])
    return of_source.mean() + of_target.mean()


def dann() -> Penalty:
    """Ganin et al. 2016, "Domain-adversarial training of neural networks".

    Equation 9, with the weight of the reversed gradient rising as in section 5.2.2.
    """

    def init(key: Key, features: int, classes: int) -> PyTree:
        return init_layers(key, (features, *HIDDEN, 1))

    def loss(params: PyTree, seen: Seen) -> Array:
        weight = reversal_weight(seen.progress)
        source = reversed_gradient(seen.source_z, weight)
        return domain_loss(params, source, reversed_gradient(seen.target_z, weight), None)

    return Penalty(init, loss)


def cdan(by_entropy: bool) -> Penalty:
    """Long et al. 2018, "Conditional adversarial domain adaptation".

    The discriminator sees each feature times each class's probability (equation 4), or, where these
    are more than 4,096, random projections of both multiplied (equation 6). As in the released
    code, no gradient flows through the probabilities. Deviations: none flows through the weights of
    CDAN+E either, and the discriminator has no dropout.

    Args:
      by_entropy: CDAN+E: an image weighs 1 + exp(-entropy) of its prediction (equation 8), over the
        domain's mean.
    """

    def init(key: Key, features: int, classes: int) -> PyTree:
        products = features * classes
        return init_layers(key, (products if products <= LARGEST else RANDOM, *HIDDEN, 1))

    def loss(params: PyTree, seen: Seen) -> Array:
        weight = reversal_weight(seen.progress)
        probabilities = [
            jax.lax.stop_gradient(jax.nn.softmax(logits))
            for logits in (seen.source_logits, seen.target_logits)
        ]
        (source, target) = (
            conditioned(reversed_gradient(z, weight), p)
            for z, p in zip((seen.source_z, seen.target_z), probabilities, strict=True)
        )
        weights = jnp.stack([certainty(p) for p in probabilities]) if by_entropy else None
        return domain_loss(params, source, target, weights)

    return Penalty(init, loss)


def conditioned(z: Array, p: Array) -> Array:
    """Products [B,D*C] of features z [B,D] and probabilities p [B,C], or [B,1024] random ones."""
    (features, classes) = (z.shape[-1], p.shape[-1])
    if features * classes <= LARGEST:
        return (z[:, :, None] * p[:, None, :]).reshape(len(z), -1)
    # Drawn once and for all: the discriminator learns what they are
    random = np.random.default_rng(0)
    of_z = random.standard_normal((features, RANDOM)).astype(np.float32)
    of_p = random.standard_normal((classes, RANDOM)).astype(np.float32)
    return (z @ of_z) * (p @ of_p) / RANDOM**0.5


def certainty(p: Array) -> Array:
    """Weights [B] of images by their probabilities p [B,C], mean 1: 1 + exp(-entropy)."""
    entropy = jax.scipy.special.entr(p).sum(-1)
    weights = 1 + jnp.exp(-entropy)
    return weights / weights.mean()
