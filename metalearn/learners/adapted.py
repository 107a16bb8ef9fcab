"""What gradient methods hand from `adapt` to `predict`, and how it predicts."""

from typing import NamedTuple

import jax.numpy as jnp

from metalearn.learners.heads import class_means
from metalearn.ops.classifier import classify
from metalearn.types import Array, Network, PyTree

HEADS = ("own", "shared", "prototypes")


class Adapted(NamedTuple):
    """Fast weights {body, head}, and the moments that queries are normalised by (None: their
    own).
    """

    weights: PyTree
    moments: PyTree | None


def settle(network: Network, norm: str, weights: PyTree, support_x: Array) -> Adapted:
    """Adapted weights {body, head}, with the moments of the support set under them where norm is
    `support`.
    """
    return Adapted(
        weights, network.moments(weights["body"], support_x) if norm == "support" else None
    )


def logits_of(network: Network, weights: PyTree, x: Array, moments: PyTree | None = None) -> Array:
    """Logits [B,N] of images x [B,H,W,Ch] under weights {body, head}."""
    return classify("linear", weights["head"], network.apply(weights["body"], x, moments))


def first_head(
    kind: str, network: Network, meta: PyTree, support_x: Array, support_y: Array, ways: int
) -> PyTree:
    """The head {w [D,N], b [N]} before the first inner step, of one of `HEADS`."""
    if kind == "own":
        return meta["head"]
    if kind == "prototypes":
        return prototype_head(network.apply(meta["body"], support_x), support_y, ways)
    return {"w": jnp.tile(meta["vector"][:, None], ways), "b": jnp.zeros(ways)}


def prototype_head(z: Array, y: Array, ways: int) -> PyTree:
    """The linear classifier whose softmax is that of negative squared distances to the class means
    c of z [S,D].

    w = 2 c, b = -|c|^2: Snell et al. 2017, section 2.4.
    """
    means = class_means(z, y, ways)
    return {"w": 2 * means.T, "b": -jnp.square(means).sum(-1)}
