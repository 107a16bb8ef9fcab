"""The embedding family: a body turns images into features, a head is fitted to the support features of each task."""

import jax
import jax.numpy as jnp

from metalearn.base import Array, Head, Info, Key, Learner, Network, PyTree, Task
from metalearn.errors import UserError
from metalearn.losses import accuracy, cross_entropy

NORMS = ("running", "batch", "support", "group", "layer", "none")


def embedding(network: Network, head: Head, ways: int, norm: str = "running") -> Learner:
    """A learner that trains the body through the head, one task at a time.

    Args:
      network: the body.
      head: fitted to support features; differentiable where it is trained through.
      ways: N.
      norm: where batch moments come from. `running`: in training from support and queries together, at test from the
        training split, measured once (inductive); `batch`: from the images of each call (transductive); `support`:
        from the support set (inductive). `group`, `layer`, `none`: the network keeps no batch moments.

    Raises:
      UserError: unknown norm.
    """
    if norm not in NORMS:
        raise UserError(f"embedding methods normalise by {', '.join(NORMS)}, not '{norm}'")

    def init(key: Key, x: Array) -> PyTree:
        return {"body": network.init(key, x)}

    def embed(meta: PyTree, x: Array) -> Array:
        return network.apply(meta["body"], x, meta["moments"] if norm == "running" else None)

    def adapt(key: Key, meta: PyTree, support_x: Array, support_y: Array) -> PyTree:
        moments = network.moments(meta["body"], support_x) if norm == "support" else None
        return head.fit(key, embed(meta, support_x), support_y, ways), moments

    def predict(meta: PyTree, adapted: PyTree, query_x: Array) -> Array:
        fitted, moments = adapted
        z = embed(meta, query_x) if moments is None else network.apply(meta["body"], query_x, moments)
        return head.predict(fitted, z)

    def loss(key: Key, meta: PyTree, task: Task) -> tuple[Array, Info]:
        drop_key, key = jax.random.split(key)
        if norm in ("batch", "support"):
            logits = predict(meta, adapt(key, meta, task.support_x, task.support_y), task.query_x)
        else:
            z = network.apply(meta["body"], jnp.concatenate([task.support_x, task.query_x]), key=drop_key)
            support, query = jnp.split(z, [len(task.support_x)])
            logits = head.predict(head.fit(key, support, task.support_y, ways), query)
        value = cross_entropy(logits, task.query_y)
        return value, {"loss": value, "accuracy": accuracy(logits, task.query_y)}

    per_image = norm not in ("batch", "support")

    def moments(meta: PyTree, x: Array) -> PyTree:
        return network.moments(meta["body"], x)

    return Learner(
        init,
        adapt,
        predict,
        loss,
        embed if per_image else None,
        head if per_image else None,
        moments if norm == "running" else None,
    )
