"""MAML and the methods that differ from it in one place: one body.

Finn, Abbeel, Levine. Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks. ICML 2017.
    maml          equation 1 with `inner_steps` steps, gradient through them (second order)
    fomaml        section 5.2: the same with first_order=True
Raghu, Raghu, Bengio, Vinyals. Rapid Learning or Feature Reuse? ICLR 2020.
    anil          only the head adapts, adapts="head"
Oh, Yoo, Kim, Yun. BOIL: Towards Representation Change for Few-shot Learning. ICLR 2021.
    boil          only the body adapts, adapts="body"
Li, Zhou, Chen, Li. Meta-SGD: Learning to Learn Quickly for Few-Shot Learning. 2017,
arXiv:1707.09835.
    meta_sgd      algorithm 1: every weight has a learned step size, learned_rates=True; these begin
                  equal, not random
Triantafillou et al. Meta-Dataset: A Dataset of Datasets for Learning to Learn from Few Examples.
ICLR 2020.
    proto_maml    Proto-MAML: the head begins as the prototypes' linear classifier,
                  head="prototypes"
Ye, Chao. How to Train Your MAML to Excel in Few-Shot Classification. ICLR 2022.
    unicorn_maml  all classes begin with one learned vector, head="shared"; no temperature

Deviations: kernels carry no bias (batch moments would cancel it); batch normalisation has a scale,
which adapts as its shift does (the released code has no scale, and its shift does not adapt); the
inner loss is a mean (there a sum over classes of the mean over their images: N times as long a step
by the same rate), and so is the outer one (there the same sum, whose gradient is clipped to 10 on
miniImageNet; here nothing is clipped); the head begins with weights of variance 1/D (there, on
Omniglot, of 1). A body's dropout and DropBlock are off in training too, as in all gradient methods
here; UNICORN-MAML is released with both on, with a plain ReLU at the end of each block, and tested
with queries normalised by running averages, which is neither of `batch` and `support`. Proto-MAML
is released with queries normalised by the moments of the support set in training too: that is
`--norm=support`. BOIL's released code forgets Adam's moments every 100 updates, and tests the last
weights.
"""

from dataclasses import dataclass, replace
from typing import Self

import jax
import jax.numpy as jnp
import optax

from metalearn.errors import UserError
from metalearn.learners.adapted import HEADS, Adapted, first_head, logits_of, with_moments
from metalearn.learners.recipes import FIRST_LOOK, Recipe
from metalearn.ops.classifier import classify, init_classifier
from metalearn.ops.inner_loop import descend, learned_sgd
from metalearn.ops.losses import cross_entropy, episode_loss
from metalearn.settings import Adapting, Episodic, setting
from metalearn.types import Array, Key, Learner, Network, PyTree

NORMS = ("batch", "support", "group", "layer", "none")
ADAPTS = ("all", "head", "body")


@dataclass(frozen=True)
class Settings(Episodic, Adapting):
    """What every method with an inner loop in training reads."""

    inner_steps: int = setting(5, "J, inner steps in training", least=0)

    def at_test(self) -> Self:
        """With the inner loop of a test in the place of that of training."""
        return replace(self, inner_steps=self.test_inner_steps)


def maml(
    network: Network,
    ways: int,
    inner_lr: float = 0.01,
    inner_steps: int = 5,
    first_order: bool = False,
    adapts: str = "all",
    norm: str = "batch",
    head: str = "own",
    learned_rates: bool = False,
    initial: str = "default",
) -> Learner:
    """A learner whose initial weights are trained for a few gradient steps on the support set.

    Args:
      network: the body.
      ways: N, outputs of the head; the same in training and at test.
      inner_lr: step size of plain gradient descent on the mean cross-entropy of the support set.
      inner_steps: J. More may be taken at test than in training; 0 predicts from the initial
        weights.
      first_order: drop second derivatives.
      adapts: `all`, `head` (ANIL) or `body` (BOIL).
      norm: `batch` normalises the queries by their own moments (transductive, as MAML is
        published); `support` by those of the support set under the adapted weights (inductive);
        `group`, `layer`, `none` as in the network.
      head: what the head begins as: `own`, trained weights of each output; `shared`, one trained
        vector for all; `prototypes`, the class means of the support set's features, with the
        gradient through them.
      learned_rates: inner_lr is only where trained step sizes, one of each weight, begin.
      initial: weights of the head, see `init_classifier`.

    Raises:
      UserError: unknown `adapts`, `norm` or `head`; learned rates at first order, which gives them
        no gradient.

    Example: from any initial weights, five inner steps learn to tell two images apart. The body is
    a linear map here; `metalearn.models.make_network` makes convolutional ones.

        >>> import jax, jax.numpy as jnp
        >>> from metalearn.learners.maml import maml
        >>> from metalearn.types import Network
        >>> def init(key, x):
        ...     return {"w": jnp.eye(x[0].size)}
        >>> def apply(params, x, moments=None, key=None):
        ...     return x.reshape(len(x), -1) @ params["w"]
        >>> body = Network(init, apply, moments=lambda params, x: {})
        >>> learner = maml(body, ways=2, inner_lr=1.0, inner_steps=5, norm="none")
        >>> x, y = jnp.eye(2).reshape(2, 1, 2, 1), jnp.array([0, 1])  # 2 ways, 1 shot, 1 x 2 pixels
        >>> meta = learner.init(jax.random.key(0), x[:1])
        >>> adapted = learner.adapt(jax.random.key(1), meta, x, y)
        >>> learner.predict(meta, adapted, x).argmax(-1).tolist()
        [0, 1]
    """
    if adapts not in ADAPTS or head not in HEADS:
        raise UserError(
            f"no method adapts '{adapts}' from a head '{head}': choose of {ADAPTS} and {HEADS}"
        )
    if norm not in NORMS:
        raise UserError(f"gradient methods normalise by {', '.join(NORMS)}, not '{norm}'")
    if learned_rates and first_order:
        raise UserError(
            "step sizes are learned through second derivatives: leave --first_order out"
        )

    def init(key: Key, x: Array) -> PyTree:
        body_key, head_key = jax.random.split(key)
        body = network.init(body_key, x)
        # Shapes alone: the body is not run to find out how many features it has
        features = jax.eval_shape(network.apply, body, x).shape[-1]
        own_head = init_classifier(head_key, "linear", features, ways, initial)
        weights = {"body": body, "head": own_head}
        rates = (
            {"rates": jax.tree.map(lambda p: jnp.full(p.shape, inner_lr), weights)}
            if learned_rates
            else {}
        )
        own = {
            "own": {"head": weights["head"]},
            "shared": {"vector": weights["head"]["w"][:, 0]},
            "prototypes": {},
        }
        return {"body": body} | own[head] | rates

    def adapt(key: Key, meta: PyTree, support_x: Array, support_y: Array) -> Adapted:
        start = {
            "body": meta["body"],
            "head": first_head(head, network, meta, support_x, support_y, ways),
        }
        fast = {k: v for k, v in start.items() if adapts in ("all", k)}
        # ANIL's body does not adapt: its features are computed once for all steps
        z = network.apply(start["body"], support_x) if adapts == "head" else None
        prepared = network.prepare(support_x)

        def support_loss(fast: PyTree) -> Array:
            features = network.apply(fast["body"], prepared) if z is None else z
            return cross_entropy(
                classify("linear", fast.get("head", start["head"]), features), support_y
            )

        optimizer = (
            learned_sgd({k: meta["rates"][k] for k in fast})
            if learned_rates
            else optax.sgd(inner_lr)
        )
        weights = start | descend(support_loss, fast, optimizer, inner_steps, first_order)
        return with_moments(network, norm, weights, support_x)

    def predict(meta: PyTree, adapted: Adapted, query_x: Array) -> Array:
        return logits_of(network, adapted.weights, query_x, adapted.moments)

    return Learner(init, adapt, predict, episode_loss(adapt, predict))


def build(
    settings: Settings,
    network: Network,
    norm: str,
    first_order: bool = False,
    adapts: str = "all",
    head: str = "own",
    learned_rates: bool = False,
) -> Learner:
    """The learner of these settings; what a method's name stands for no setting can change.

    Args:
      settings: those of the method.
      network: the body.
      norm: where queries are normalised from, see `maml`.
      first_order: drop second derivatives, whatever the settings say.
      adapts, head, learned_rates: see `maml`.
    """
    return maml(
        network,
        settings.ways,
        inner_lr=settings.inner_lr,
        inner_steps=settings.inner_steps,
        first_order=first_order or settings.first_order,
        adapts=adapts,
        norm=norm,
        head=head,
        learned_rates=learned_rates,
        initial=settings.initial,
    )


def recipe(dataset: str, shots: int) -> Recipe:
    """Finn et al. 2017, appendix A.1, and the released code: 60,000 updates of Adam at 1e-3.

    Train queries are K on Omniglot and 15 elsewhere, moments those of each call, nothing is
    augmented. There the inner loss is the sum over classes of the mean over their images: its inner
    rates of 0.4 (Omniglot) and 0.01 are 2 and 0.05 times the mean over 5 classes, as here. With
    0.05, CIFAR-FS is learned faster than with 0.01. On Omniglot 0.4 stays, as in most later code:
    with 2, first-order MAML learns far less (docs/findings.md).
    Glyphs: ours, for a first look of some minutes on two CPU cores.
    """
    characters = dict(backbone="conv4-64-strided", inner_lr=0.4, inner_steps=1, test_inner_steps=3)
    if dataset == "omniglot":
        return characters | dict(steps=60_000, meta_batch=32, train_queries=shots)
    if dataset == "glyphs":
        return characters | dict(meta_batch=16, train_queries=5) | FIRST_LOOK
    return dict(
        backbone="conv4-32",
        steps=60_000,
        meta_batch=4,
        inner_lr=0.05,
        inner_steps=5,
        test_inner_steps=10,
        train_queries=15,
    )
