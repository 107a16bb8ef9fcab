"""The embedding family: a body turns images into features, a head is fitted to the support features of each task."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from metalearn.base import Array, Head, Info, Key, Learner, Network, PyTree, Task, TrainedHead
from metalearn.errors import UserError
from metalearn.losses import accuracy, cross_entropy

NORMS = ("running", "batch", "support", "group", "layer", "none")


def embedding(
    network: Network,
    head: Head | TrainedHead,
    ways: int,
    norm: str = "running",
    loss_of: Callable[[Array, Array], Array] = cross_entropy,
    centre: bool = False,
) -> Learner:
    """A learner that trains the body through the head, one task at a time.

    Args:
      network: the body.
      head: fitted to support features; differentiable where it is trained through.
      ways: N.
      norm: where batch moments come from. `running`: in training from support and queries together, at test from the
        training split, measured once (inductive); `batch`: from the images of each call (transductive); `support`:
        from the support set (inductive). `group`, `layer`, `none`: the network keeps no batch moments.
      loss_of: `(logits [Q,N], labels [Q]) -> scalar`, what is trained.
      centre: subtract the mean feature, of the same images as the moments; of the training split where there are none.

    Raises:
      UserError: unknown norm.
    """
    if norm not in NORMS:
        raise UserError(f"embedding methods normalise by {', '.join(NORMS)}, not '{norm}'")
    network = centred(network) if centre else network
    per_image = norm not in ("batch", "support")
    measured = norm == "running" or (centre and per_image)

    def init(key: Key, x: Array) -> PyTree:
        return _init(network, head, key, x)

    def head_of(meta: PyTree) -> Head:
        return head if isinstance(head, Head) else head.head(meta["head"])

    def embed(meta: PyTree, x: Array) -> Array:
        return network.apply(meta["body"], x, meta["moments"] if measured else None)

    def adapt(key: Key, meta: PyTree, support_x: Array, support_y: Array) -> PyTree:
        moments = network.moments(meta["body"], support_x) if norm == "support" else None
        return head_of(meta).fit(key, embed(meta, support_x), support_y, ways), moments

    def predict(meta: PyTree, adapted: PyTree, query_x: Array) -> Array:
        fitted, moments = adapted
        z = embed(meta, query_x) if moments is None else network.apply(meta["body"], query_x, moments)
        return head_of(meta).predict(fitted, z)

    def loss(key: Key, meta: PyTree, task: Task, step: Array | int = 0) -> tuple[Array, Info]:
        drop_key, key = jax.random.split(key)
        if per_image:
            z = network.apply(meta["body"], jnp.concatenate([task.support_x, task.query_x]), key=drop_key)
            support, query = jnp.split(z, [len(task.support_x)])
            chosen = head_of(meta)
            logits = chosen.predict(chosen.fit(key, support, task.support_y, ways), query)
        else:
            logits = predict(meta, adapt(key, meta, task.support_x, task.support_y), task.query_x)
        value = loss_of(logits, task.query_y)
        return value, {"loss": value, "accuracy": accuracy(logits, task.query_y)}

    def moments(meta: PyTree, x: Array) -> PyTree:
        return network.moments(meta["body"], x)

    return Learner(
        init,
        adapt,
        predict,
        loss,
        embed if per_image else None,
        head_of if per_image else None,
        moments if measured else None,
    )


def _init(network: Network, head: Head | TrainedHead, key: Key, x: Array) -> PyTree:
    """Parameters of the body, and of the head if it has any."""
    if isinstance(head, Head):
        return {"body": network.init(key, x)}
    body_key, head_key = jax.random.split(key)
    body = network.init(body_key, x)
    return {"body": body, "head": head.init(head_key, jax.eval_shape(network.apply, body, x).shape[1:])}


def centred(network: Network) -> Network:
    """The network with its mean feature subtracted: like a last normalisation layer that does not scale.

    Without moments the mean is that of the very images; the moments hold those of the network under `body`.
    """

    def apply(params: PyTree, x: Array, moments: PyTree | None = None, key: Key | None = None) -> Array:
        if moments is None:
            z = network.apply(params, x, None, key)
            return z - z.mean(0)
        return network.apply(params, x, moments["body"], key) - moments["features"]["mean"]

    def moments(params: PyTree, x: Array) -> PyTree:
        z = network.apply(params, x)
        return {"body": network.moments(params, x), "features": {"mean": z.mean(0), "var": z.var(0)}}

    return Network(network.init, apply, moments)
