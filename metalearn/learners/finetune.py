"""Adapt every weight of a pre-trained network to each task.

Dhillon, Chaudhari, Ravichandran, Soatto. A Baseline for Few-Shot Image Classification. ICLR 2020.
    finetune               section 3.1: a new layer on the logits of the pre-trained classifier, all
                           weights fine-tuned
    transductive_finetune  section 3.2, equation 8: the entropy of the queries' predictions is
                           minimised as well
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax

from metalearn.errors import UserError
from metalearn.learners import pretrained
from metalearn.learners.heads import class_means, nearest_centroid
from metalearn.learners.recipes import Recipe
from metalearn.ops.classifier import classify
from metalearn.ops.inner_loop import descend
from metalearn.ops.losses import cross_entropy, unit
from metalearn.settings import Adapting
from metalearn.types import Array, Key, Learner, Network, PyTree

NORMS = ("running", "batch", "group", "layer", "none")


@dataclass(frozen=True)
class Settings(pretrained.Settings, Adapting):
    """What fine-tuning of all weights reads."""


def finetuned(
    base: Learner,
    network: Network,
    ways: int,
    lr: float = 5e-5,
    steps: int = 25,
    transductive: bool = False,
    norm: str = "running",
) -> Learner:
    """A pre-trained learner with a linear classifier whose test fine-tunes all weights by Adam.

    The new layer classifies the rectified logits of the pre-trained classifier, scaled to length
    one; its weights begin as the class means of the support set's rectified logits, scaled to
    length one too (section 3.1, equations 6 and 7).
    Deviations: the released code augments the support set (and the queries) again in every epoch,
    and normalises while it tunes by the moments of the images at hand, whose running averages it
    tests with; here images are as they are and moments as `norm` says.

    Args:
      base: made by `pretrained`, of this network and norm.
      network: the body.
      ways: N at test.
      lr: of Adam, per task.
      steps: epochs, an update each, or two if transductive.
      transductive: after each update on the support set make one on the mean entropy of the
        queries' predictions. Adaptation then waits for the queries: it is `predict` that makes it.
      norm: `running` keeps the moments of the training split; `batch` takes those of each call
        (transductive).

    Raises:
      UserError: a norm that does not fit.
    """
    if norm not in NORMS:
        raise UserError(
            f"fine-tuning of all weights normalises by {', '.join(NORMS)}, not '{norm}'"
        )
    optimizer = optax.adam(lr)

    def rectified(meta: PyTree, weights: PyTree, x: Array) -> Array:
        moments = meta["moments"]["body"] if norm == "running" else None
        z = network.apply(weights["body"], x, moments)
        return jax.nn.relu(classify("linear", weights["classifier"], z))

    def logits(meta: PyTree, weights: PyTree, x: Array) -> Array:
        return classify("linear", weights["head"], unit(rectified(meta, weights, x)))

    def tune(
        meta: PyTree, support_x: Array, support_y: Array, query_x: Array | None = None
    ) -> PyTree:
        means = class_means(rectified(meta, meta, support_x), support_y, ways)
        weights = {"body": meta["body"], "classifier": meta["classifier"]}
        weights["head"] = {"w": unit(means).T, "b": jnp.zeros(ways)}

        losses: list[Callable[[PyTree], Array]] = [
            lambda weights: cross_entropy(logits(meta, weights, support_x), support_y)
        ]
        if query_x is not None:
            x = query_x
            # An update of its own, after that on the support set: so `descend` takes both losses
            losses.append(lambda weights: mean_entropy(logits(meta, weights, x)))
        return descend(tuple(losses), weights, optimizer, steps)

    def adapt(key: Key, meta: PyTree, support_x: Array, support_y: Array) -> PyTree:
        return (support_x, support_y) if transductive else tune(meta, support_x, support_y)

    def predict(meta: PyTree, adapted: PyTree, query_x: Array) -> Array:
        if not transductive:
            return logits(meta, adapted, query_x)
        support_x, support_y = adapted
        return logits(meta, tune(meta, support_x, support_y, query_x), query_x)

    return base._replace(adapt=adapt, predict=predict, embed=None, head=None)


def mean_entropy(logits: Array) -> Array:
    """Mean entropy of the predictions softmax(logits) [B,N], nats."""
    log_p = jax.nn.log_softmax(logits)
    return -(jnp.exp(log_p) * log_p).sum(-1).mean()


def build(
    settings: Settings, network: Network, classes: int, norm: str, transductive: bool = False
) -> Learner:
    """The learner of these settings.

    Args:
      settings: those of the method.
      network: the body.
      classes: C, base classes.
      norm, transductive: see `finetuned`.
    """
    return finetuned(
        pretrained.build(settings, network, classes, norm, nearest_centroid()),
        network,
        settings.ways,
        lr=settings.inner_lr,
        steps=settings.test_inner_steps,
        transductive=transductive,
        norm=norm,
    )


def recipe(dataset: str, shots: int) -> Recipe:
    """Dhillon et al. 2020, section 4: Adam at 5e-5, 25 epochs.

    It takes long: few validation episodes. Their released code pre-trains otherwise (WRN-28-10,
    batches of 256, two cosine cycles, mixup, smoothed labels), here all baselines share.
    """
    adapted = dict(inner_lr=5e-5, test_inner_steps=25, valid_episodes=50, valid_every=10_000)
    return pretrained.recipe(dataset, shots) | adapted
