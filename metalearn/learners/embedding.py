"""The embedding family: a head is fitted to the support features of each task.

A body, shared by all tasks, turns images into features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from metalearn.errors import UserError
from metalearn.ops.losses import accuracy, cross_entropy
from metalearn.settings import Episodic, Mirrored, setting
from metalearn.types import Array, Head, Info, Key, Learner, Network, PyTree, Task, TrainedHead

LossOf = Callable[[Array, Array], Array]  # (logits [Q,N], labels [Q]) -> scalar
NORMS = ("running", "batch", "support", "group", "layer", "none")


@dataclass(frozen=True)
class Settings(Episodic, Mirrored):
    """What every method reads that trains the body through a head."""

    most_train_shots: int = setting(
        0,
        "draw the shots of each training episode from 1 to this, of --train_shots + "
        "--train_queries images a class "
        "(0: always --train_shots)",
        least=0,
    )


def embedding(
    network: Network,
    head: Head | TrainedHead,
    ways: int,
    norm: str = "running",
    loss_of: LossOf = cross_entropy,
    centre: bool = False,
) -> Learner:
    """A learner that trains the body through the head, one task at a time.

    Args:
      network: the body.
      head: fitted to support features; differentiable where it is trained through.
      ways: N.
      norm: where batch moments come from. `running`: in training from support and queries together,
        at test from the training split, measured once (inductive); `batch`: from the images of each
        call (transductive); `support`: from the support set (inductive). `group`, `layer`, `none`:
        the network keeps no batch moments.
      loss_of: `(logits [Q,N], labels [Q]) -> scalar`, what is trained.
      centre: subtract the mean feature, of the images that the moments are of.

    Raises:
      UserError: unknown norm.
    """
    if norm not in NORMS:
        raise UserError(f"embedding methods normalise by {', '.join(NORMS)}, not '{norm}'")
    network = with_centre(network, centre)
    per_image = norm not in ("batch", "support")
    population = norm == "running" or (centre and per_image)

    def init(key: Key, x: Array) -> PyTree:
        return _init(network, head, key, x)

    def head_of(meta: PyTree) -> Head:
        return head if isinstance(head, Head) else head.head(meta["head"])

    def embed(meta: PyTree, x: Array) -> Array:
        return network.apply(meta["body"], x, meta["moments"] if population else None)

    def adapt(key: Key, meta: PyTree, support_x: Array, support_y: Array) -> PyTree:
        moments = network.moments(meta["body"], support_x) if norm == "support" else None
        return head_of(meta).fit(key, embed(meta, support_x), support_y, ways), moments

    def predict(meta: PyTree, adapted: PyTree, query_x: Array) -> Array:
        fitted, moments = adapted
        z = (
            embed(meta, query_x)
            if moments is None
            else network.apply(meta["body"], query_x, moments)
        )
        return head_of(meta).predict(fitted, z)

    def loss(key: Key, meta: PyTree, task: Task, step: Array | int = 0) -> tuple[Array, Info]:
        drop_key, key = jax.random.split(key)
        if per_image:
            # One call for both sets: in training their moments are taken together
            images = jnp.concatenate([task.support_x, task.query_x])
            z = network.apply(meta["body"], images, key=drop_key)
            return features_loss(key, head_of(meta), z, task, ways, loss_of)
        support, query = _apart(drop_key, network, meta["body"], task, norm)
        head = head_of(meta)
        logits = head.predict(head.fit(key, support, task.support_y, ways), query)
        return measured_loss(loss_of, logits, task.query_y)

    def moments(meta: PyTree, x: Array, known: PyTree | None = None) -> PyTree:
        return network.moments(meta["body"], x, known)

    return Learner(
        init,
        adapt,
        predict,
        loss,
        embed if per_image else None,
        head_of if per_image else None,
        moments if per_image else None,
    )


def _apart(key: Key, network: Network, body: PyTree, task: Task, norm: str) -> tuple[Array, Array]:
    """Features of the support set and of the queries in training, where moments are not shared."""
    (support_key, query_key) = jax.random.split(key)
    moments = network.moments(body, task.support_x) if norm == "support" else None
    support = network.apply(body, task.support_x, None, support_key)
    return support, network.apply(body, task.query_x, moments, query_key)


def measured_loss(loss_of: LossOf, logits: Array, labels: Array) -> tuple[Array, Info]:
    """The loss of logits [Q,N] for labels [Q], and what is reported of it."""
    value = loss_of(logits, labels)
    return value, {"loss": value, "accuracy": accuracy(logits, labels)}


def features_loss(
    key: Key, head: Head, z: Array, task: Task, ways: int, loss_of: LossOf
) -> tuple[Array, Info]:
    """The loss of a head fitted to the support part of a task's features.

    Args:
      key: of the head.
      head: fitted to support features.
      z: features [S+Q,D], the support set's first.
      task: its labels, and its shots where they are drawn.
      ways: N.
      loss_of: see `embedding`.
    """
    support, query = jnp.split(z, [len(task.support_x)])
    if task.shots is not None:
        return drawn_shots_loss(key, head, support, query, task.shots, ways, loss_of)
    logits = head.predict(head.fit(key, support, task.support_y, ways), query)
    return measured_loss(loss_of, logits, task.query_y)


def drawn_shots_loss(
    key: Key,
    head: Head,
    support: Array,
    query: Array,
    shots: Array,
    ways: int,
    loss_of: LossOf,
) -> tuple[Array, Info]:
    """The loss of an episode that is split again, at a drawn number of shots.

    The first `shots` images of each class are support, the rest queries. Bertinetto et al. 2019's
    released code draws shots for every training episode. Each number of shots has shapes of its
    own, so each is a branch; only the head is in it, the body embeds all images before.

    Args:
      key: of the head.
      head: fitted to support features.
      support: features [S,D], class by class.
      query: features [Q,D], class by class.
      shots: int32, from 1 to one less than all images of a class.
      ways: N.
      loss_of: see `embedding`.
    """
    parts = (part.reshape(ways, -1, part.shape[-1]) for part in (support, query))
    by_class = jnp.concatenate(list(parts), axis=1)
    labels = jnp.arange(ways, dtype=jnp.int32)[:, None]

    def branch(k: int, z: Array) -> tuple[Array, Info]:
        y = jnp.broadcast_to(labels, z.shape[:2])
        features = z.shape[-1]
        fitted = head.fit(key, z[:, :k].reshape(-1, features), y[:, :k].reshape(-1), ways)
        logits = head.predict(fitted, z[:, k:].reshape(-1, features))
        return measured_loss(loss_of, logits, y[:, k:].reshape(-1))

    branches = [partial(branch, k) for k in range(1, by_class.shape[1])]
    return jax.lax.switch(shots - 1, branches, by_class)


def _init(network: Network, head: Head | TrainedHead, key: Key, x: Array) -> PyTree:
    """Parameters of the body, and of the head if it has any."""
    if isinstance(head, Head):
        return {"body": network.init(key, x)}
    body_key, head_key = jax.random.split(key)
    body = network.init(body_key, x)
    return {
        "body": body,
        "head": head.init(head_key, jax.eval_shape(network.apply, body, x).shape[1:]),
    }


def with_centre(network: Network, subtract: bool = True) -> Network:
    """The network whose moments are {body, features}: of its layers, and of its features.

    So the statistics of one body serve every head, whether it centres features or not. Where the
    mean feature is subtracted, it is like a last normalisation layer that does not scale; without
    moments the mean is that of the very images.
    """

    def apply(
        params: PyTree, x: Array, moments: PyTree | None = None, key: Key | None = None
    ) -> Array:
        z = network.apply(params, x, None if moments is None else moments["body"], key)
        if not subtract:
            return z
        return z - (z.mean(0) if moments is None else moments["features"]["mean"])

    def moments(params: PyTree, x: Array, known: PyTree | None = None) -> PyTree:
        z = network.apply(params, x, known)
        return {
            "body": network.moments(params, x) if known is None else known,
            "features": {"mean": z.mean(0), "var": z.var(0)},
        }

    return Network(network.init, apply, moments)
