"""What gradient methods hand from `adapt` to `predict`, and how it predicts."""

from typing import NamedTuple

import jax.numpy as jnp

from metalearn.learners.heads import class_means
from metalearn.ops.classifier import classify
from metalearn.types import Array, Network, PyTree

HEADS = ("own", "shared", "prototypes")


class Adapted(NamedTuple):
    """What a task's adaptation found.

    Attributes:
      weights: fast weights {body, head}.
      moments: what queries are normalised by; None for those of the queries themselves.
    """

    weights: PyTree
    moments: PyTree | None


def with_moments(network: Network, norm: str, weights: PyTree, support_x: Array) -> Adapted:
    """Adapted weights with the moments that queries are to be normalised by.

    Args:
      network: the body.
      norm: `support` takes the moments of the support set under the adapted weights; any other
        leaves the queries to their own.
      weights: {body, head}.
      support_x: images [S,H,W,Ch].
    """
    moments = network.moments(weights["body"], support_x) if norm == "support" else None
    return Adapted(weights, moments)


def logits_of(network: Network, weights: PyTree, x: Array, moments: PyTree | None = None) -> Array:
    """Logits [B,N] of images.

    Args:
      network: the body.
      weights: {body, head}.
      x: images [B,H,W,Ch].
      moments: normalise by these; None for those of x.
    """
    return classify("linear", weights["head"], network.apply(weights["body"], x, moments))


def first_head(
    kind: str, network: Network, meta: PyTree, support_x: Array, support_y: Array, ways: int
) -> PyTree:
    """The head {w [D,N], b [N]} before the first inner step.

    Args:
      kind: one of `HEADS`.
      network: the body.
      meta: meta-parameters of `maml` with this head.
      support_x: images [S,H,W,Ch].
      support_y: labels [S].
      ways: N.
    """
    if kind == "own":
        return meta["head"]
    if kind == "prototypes":
        # Not held constant: the body learns through its prototypes as well
        return prototype_head(network.apply(meta["body"], support_x), support_y, ways)
    # One vector for all classes: no output is preferred before the first step
    return {"w": jnp.tile(meta["vector"][:, None], ways), "b": jnp.zeros(ways)}


def prototype_head(z: Array, y: Array, ways: int) -> PyTree:
    """The linear classifier {w [D,N], b [N]} that predicts as the class means c of z [S,D] do.

    Its softmax is that of negative squared distances to them: w = 2 c, b = -|c|^2 (Snell et al.
    2017, section 2.4).
    """
    # |z|^2 is left out: it is the same for all classes, so the softmax cancels it
    means = class_means(z, y, ways)
    return {"w": 2 * means.T, "b": -jnp.square(means).sum(-1)}
