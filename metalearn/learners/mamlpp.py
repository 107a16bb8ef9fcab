"""MAML++.

Antoniou, Edwards, Storkey. How to train your MAML. ICLR 2019, section 4. To MAML it adds
    step sizes learned for every inner step and every tensor of weights (LSLR)
    scales and shifts of the normalisation layers learned for every inner step, which do not adapt
      (BNWB); moments are those of each call, so statistics too are of the step (BNRS)
    the query loss after every inner step, its weight shifted to the last while training (MSL)
    first-order derivatives at the beginning of training (DA)
and, in the outer loop, a cosine rate (CA: `--schedule=cosine`).

As in the released code, queries after inner step j are predicted under scales and shifts j.
Deviations: weights of the earlier losses fall to zero linearly, without a floor of 0.03 / J;
meta-gradients are not clipped; the one checkpoint that validation picks is tested, not an ensemble
of its best five.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from metalearn.learners import maml
from metalearn.learners.adapted import Adapted, logits_of, with_moments
from metalearn.learners.layers import norm_layers
from metalearn.learners.recipes import Recipe
from metalearn.ops.losses import cross_entropy, episode_loss
from metalearn.settings import setting
from metalearn.types import Array, Info, Key, Learner, Network, PyTree, Task


@dataclass(frozen=True)
class Settings(maml.Settings):
    """What MAML++ reads."""

    first_order_steps: int = setting(
        0, "outer updates that MAML++ makes at first order, before second", least=0
    )
    multi_step: int = setting(
        0,
        "outer updates until MAML++ trains the loss of the last inner step alone",
        least=0,
    )


def mamlpp(
    network: Network,
    ways: int,
    inner_lr: float = 0.1,
    inner_steps: int = 5,
    multi_step: int = 0,
    first_order_steps: int = 0,
    norm: str = "batch",
    initial: str = "default",
) -> Learner:
    """MAML with what every inner step needs learned for that step.

    Args:
      network: the body.
      ways: N, outputs of the head.
      inner_lr: what all step sizes begin as.
      inner_steps: J. More than were trained repeat the last one's step sizes, scales and shifts; 0
        predicts from the initial weights.
      multi_step: outer updates until the last step's loss alone counts; 0 if it does from the
        start.
      first_order_steps: outer updates before second derivatives are taken.
      norm, initial: see `maml`.

    Raises:
      UserError: unknown `norm`; in `init`, a body of stages.
    """
    base = maml.maml(network, ways, norm=norm, initial=initial)

    def init(key: Key, x: Array) -> PyTree:
        meta = base.init(key, x)
        rows = max(inner_steps, 1)
        norms = norm_layers(meta["body"])
        weights = {
            "body": {k: v for k, v in meta["body"].items() if k not in norms},
            "head": meta["head"],
        }
        rates = jax.tree.map(lambda p: jnp.full(rows, inner_lr), weights)
        return weights | {
            "norms": jax.tree.map(lambda p: jnp.tile(p, (rows, 1)), norms),
            "rates": rates,
        }

    def adapt(key: Key, meta: PyTree, support_x: Array, support_y: Array) -> Adapted:
        if inner_steps == 0:
            weights = _whole(meta, _at(meta["norms"], 0))
        else:
            weights = _at(trajectory(network, meta, support_x, support_y, inner_steps), -1)
        return with_moments(network, norm, weights, support_x)

    def loss(key: Key, meta: PyTree, task: Task, step: Array | int = 0) -> tuple[Array, Info]:
        def query_loss(weights: PyTree) -> tuple[Array, Info]:
            def adapted(*_: Any) -> PyTree:
                return with_moments(network, norm, weights, task.support_x)

            return episode_loss(adapted, base.predict)(key, meta, task)

        def earlier(weighted: tuple[PyTree, Array]) -> Array:
            weights, share = weighted
            return share * jax.lax.cond(
                share > 0, lambda w: query_loss(w)[0], lambda w: jnp.zeros(()), weights
            )

        first_order = step < first_order_steps if first_order_steps else False
        weights = trajectory(
            network, meta, task.support_x, task.support_y, inner_steps, first_order
        )
        value, info = query_loss(_at(weights, -1))
        if multi_step:
            # One after the other, recomputed in the backward pass: J query passes at once would
            # take J times the memory. A loss that counts no more is not computed
            shares = loss_weights(inner_steps, multi_step, step)
            before = jax.tree.map(lambda p: p[:-1], weights)
            value = (
                shares[-1] * value
                + jax.lax.map(jax.checkpoint(earlier), (before, shares[:-1])).sum()
            )
        return value, info

    return base._replace(
        init=init, adapt=adapt, loss=loss if inner_steps else episode_loss(adapt, base.predict)
    )


def trajectory(
    network: Network,
    meta: PyTree,
    x: Array,
    y: Array,
    inner_steps: int,
    first_order: Array | bool = False,
) -> PyTree:
    """Weights {body, head} after each inner step on the support set; leaves [J, ...].

    Args:
      network: the body.
      meta: meta-parameters of `mamlpp`.
      x: support images [S,H,W,Ch].
      y: labels [S].
      inner_steps: J.
      first_order: drop second derivatives; a traced value may change while training.
    """
    prepared = network.prepare(x)

    def support_loss(fast: PyTree, norms: PyTree) -> Array:
        return cross_entropy(logits_of(network, _whole(fast, norms), prepared), y)

    # At first order the gradient is a constant to the outer loss; `cond` chooses at run time, for
    # one compiled step has to serve the updates before and after the change
    def held(fast: PyTree, norms: PyTree) -> PyTree:
        return jax.lax.stop_gradient(jax.grad(support_loss)(fast, norms))

    free = jax.grad(support_loss)
    gradient = free if first_order is False else partial(jax.lax.cond, first_order, held, free)

    def step(fast: PyTree, own: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
        norms, rates = own
        fast = jax.tree.map(lambda p, g, rate: p - rate * g, fast, gradient(fast, norms), rates)
        return fast, _whole(fast, norms)

    trained = len(meta["rates"]["head"]["b"])
    rows = jnp.minimum(jnp.arange(inner_steps), trained - 1)
    fast = {"body": meta["body"], "head": meta["head"]}
    own = _at((meta["norms"], meta["rates"]), rows)
    # checkpoint: the backward pass computes each step's activations again, so that memory does not
    # grow with J. In a scan XLA cannot merge the two computations, whence prevent_cse=False
    return jax.lax.scan(jax.checkpoint(step, prevent_cse=False), fast, own)[1]


def loss_weights(inner_steps: int, multi_step: int, step: Array | int) -> Array:
    """Weights [J] of the losses after each inner step, at an outer update.

    Equal at update 0; from multi_step on the last is 1, the others 0.
    """
    left = jnp.maximum(1 - step / multi_step, 0) / inner_steps
    return jnp.full(inner_steps, left).at[-1].set(1 - (inner_steps - 1) * left)


def _at(stacked: PyTree, rows: Array | int) -> PyTree:
    return jax.tree.map(lambda p: p[rows], stacked)


def _whole(fast: PyTree, norms: PyTree) -> PyTree:
    """Weights {body, head} with the normalisation layers put back into the body."""
    return {"body": fast["body"] | norms, "head": fast["head"]}


def build(settings: Settings, network: Network, norm: str) -> Learner:
    """The learner of these settings; the body and the normalisation as in `mamlpp`."""
    return mamlpp(
        network,
        settings.ways,
        inner_lr=settings.inner_lr,
        inner_steps=settings.inner_steps,
        multi_step=settings.multi_step,
        first_order_steps=settings.first_order_steps,
        norm=norm,
        initial=settings.initial,
    )


def recipe(dataset: str, shots: int) -> Recipe:
    """Antoniou et al. 2019, section 5, and its released configurations: 100 epochs of 500 updates.

    Losses of earlier steps count for the first 10 (Omniglot) or 15 epochs, derivatives are second
    throughout (the paper: after 50 epochs). Step sizes begin at 0.1, what its code takes; the 0.01
    of its configurations for miniImageNet is not read. There the cosine ends at 1e-5 on Omniglot,
    and for miniImageNet where it begins; ReLUs leak (0.01), and 1-shot batches are of 8 and 2.
    Glyphs: ours.
    """
    if dataset == "glyphs":
        short = dict(schedule="cosine", inner_steps=2, test_inner_steps=2, multi_step=100)
        return maml.recipe(dataset, shots) | short
    published = dict(
        steps=50_000, schedule="cosine", inner_lr=0.1, inner_steps=5, test_inner_steps=5
    )
    one = shots == 1
    if dataset == "omniglot":
        characters = dict(backbone="conv4-64", multi_step=5_000, train_queries=1)
        return published | characters | dict(meta_batch=16 if one else 8)
    photographs = dict(backbone="conv4-48", multi_step=7_500)
    return published | photographs | dict(meta_batch=4 if one else 2)
