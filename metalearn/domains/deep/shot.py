"""Adaptation without the source's images: SHOT."""

import jax
import jax.numpy as jnp

from metalearn.domains.deep.settings import Settings
from metalearn.domains.deep.types import Pair, Trainee
from metalearn.ops.classifier import classify
from metalearn.ops.losses import cross_entropy, unit
from metalearn.types import Array, Info, Key, Network, PyTree

PSEUDO = 0.1  # weight of the pseudo-labels, the paper's for digits


def shot(network: Network, settings: Settings) -> Trainee:
    """Liang et al. 2020, "Do we really need to access the source data?".

    The classifier stays. The body is trained until predictions on the target are confident one by
    one and diverse together (equation 4), and like pseudo-labels (equation 7), which are recomputed
    for all images at each validation, by the nearest of the classes' centroids (equations 5 and 6).
    Deviations: the source's training is that of `source_only`, without label smoothing and with a
    plain linear classifier; `penalty` is the weight of the first loss alone.
    """

    def init(key: Key, x: Array, classes: int, begun: PyTree) -> PyTree:
        return {"body": begun["body"], "fixed": {"classifier": begun["classifier"]}}

    def loss(key: Key, meta: PyTree, pair: Pair, step: Array | int = 0) -> tuple[Array, Info]:
        fixed = jax.lax.stop_gradient(meta["fixed"])
        z = network.apply(meta["body"], pair.target, None, key)
        logits = classify("linear", fixed["classifier"], z)
        labels = fixed["labels"][pair.rows].astype(jnp.int32)
        negative_information = -information(logits)
        value = settings.penalty * negative_information + PSEUDO * cross_entropy(logits, labels)
        return value, {"loss": value, "penalty": negative_information}

    def refresh(meta: PyTree, logits: Array, z: Array) -> PyTree:
        # As numbers: of whole ones there is no derivative, not even one that is left alone
        labels = pseudo_labels(logits, z).astype(jnp.float32)
        return meta | {"fixed": meta["fixed"] | {"labels": labels}}

    return Trainee(init, loss, lambda pair: pair.target, refresh)


def information(logits: Array) -> Array:
    """Entropy of the mean prediction less the mean entropy, nats; logits [B,C]."""
    p = jax.nn.softmax(logits)
    entropy = jax.scipy.special.entr
    return entropy(p.mean(0)).sum() - entropy(p).sum(-1).mean()


def pseudo_labels(logits: Array, z: Array) -> Array:
    """int32 [N], the class of the nearest centroid by cosine, and again by centroids of these.

    Classes that no image is predicted to be get none, as in the released code for photographs.

    Args:
      logits: [N,C].
      z: [N,D]; a feature of 1 is added, as in the released code.
    """
    classes = logits.shape[-1]
    features = unit(jnp.concatenate([z, jnp.ones((len(z), 1))], -1))
    there = jnp.bincount(logits.argmax(-1), length=classes) > 0
    shares = jax.nn.softmax(logits)
    for _ in range(2):
        centroids = unit(shares.T @ features / (shares.sum(0)[:, None] + 1e-8))
        nearest = jnp.where(there, features @ centroids.T, -jnp.inf).argmax(-1)
        shares = jax.nn.one_hot(nearest, classes)
    return nearest.astype(jnp.int32)
