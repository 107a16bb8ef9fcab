"""MAML and the methods that differ from it in what adapts: one body.

Finn, Abbeel, Levine. Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks. ICML 2017.
    maml    equation 1 with `inner_steps` steps, gradient through them (second order)
    fomaml  section 5.2: the same with first_order=True
Raghu, Raghu, Bengio, Vinyals. Rapid Learning or Feature Reuse? ICLR 2020.
    anil    only the head adapts, adapts="head"
Oh, Yoo, Kim, Yun. BOIL: Towards Representation Change for Few-shot Learning. ICLR 2021.
    boil    only the body adapts, adapts="body"

Deviations: kernels carry no bias under batch moments, which cancel it; batch normalisation has a scale.
"""

from typing import NamedTuple

import jax
import optax

from metalearn.base import Array, Info, Key, Learner, Network, PyTree, Task
from metalearn.classifier import classify, init_classifier
from metalearn.errors import UserError
from metalearn.inner import descend
from metalearn.losses import accuracy, cross_entropy

NORMS = ("batch", "support", "group", "layer", "none")


class Adapted(NamedTuple):
    """Fast weights {body, head}, and the moments that queries are normalised by (None: their own)."""

    weights: PyTree
    moments: PyTree | None


def maml(
    network: Network,
    ways: int,
    inner_lr: float = 0.01,
    inner_steps: int = 5,
    first_order: bool = False,
    adapts: str = "all",
    norm: str = "batch",
) -> Learner:
    """A learner whose initial weights are trained so that a few gradient steps on the support set do well.

    Args:
      network: the body.
      ways: N, outputs of the head; the same in training and at test.
      inner_lr: step size of plain gradient descent on the mean cross-entropy of the support set.
      inner_steps: J. More may be taken at test than in training; 0 predicts from the initial weights.
      first_order: drop second derivatives.
      adapts: `all`, `head` (ANIL) or `body` (BOIL).
      norm: `batch` normalises the queries by their own moments (transductive, as published); `support` by those of
        the support set under the adapted weights (inductive); `group`, `layer`, `none` as in the network.

    Raises:
      UserError: unknown `adapts` or `norm`.
    """
    if adapts not in ("all", "head", "body"):
        raise UserError(f"adapts must be all, head or body, not '{adapts}'")
    if norm not in NORMS:
        raise UserError(f"gradient methods normalise by {', '.join(NORMS)}, not '{norm}'")
    optimizer = optax.sgd(inner_lr)

    def init(key: Key, x: Array) -> PyTree:
        body_key, head_key = jax.random.split(key)
        body = network.init(body_key, x)
        features = jax.eval_shape(network.apply, body, x).shape[-1]
        return {"body": body, "head": init_classifier(head_key, "linear", features, ways)}

    def adapt(key: Key, meta: PyTree, support_x: Array, support_y: Array) -> Adapted:
        fast = {k: v for k, v in meta.items() if adapts in ("all", k)}
        z = network.apply(meta["body"], support_x) if adapts == "head" else None  # once: no step changes it

        def support_loss(fast: PyTree) -> Array:
            features = network.apply(fast["body"], support_x) if z is None else z
            return cross_entropy(classify("linear", fast.get("head", meta["head"]), features), support_y)

        weights = meta | descend(support_loss, fast, optimizer, inner_steps, first_order)
        return Adapted(weights, network.moments(weights["body"], support_x) if norm == "support" else None)

    def predict(meta: PyTree, adapted: Adapted, query_x: Array) -> Array:
        weights, moments = adapted
        return classify("linear", weights["head"], network.apply(weights["body"], query_x, moments))

    def loss(key: Key, meta: PyTree, task: Task, step: Array | int = 0) -> tuple[Array, Info]:
        logits = predict(meta, adapt(key, meta, task.support_x, task.support_y), task.query_x)
        value = cross_entropy(logits, task.query_y)
        return value, {"loss": value, "accuracy": accuracy(logits, task.query_y)}

    return Learner(init, adapt, predict, loss)
