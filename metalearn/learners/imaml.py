"""Implicit MAML.

Rajeswaran, Finn, Kakade, Levine. Meta-Learning with Implicit Gradients. NeurIPS 2019. The adapted
weights minimise the support loss plus strength/2 |weights - meta|^2; the query loss's gradient in
them is turned into the gradient in meta by the implicit function theorem (lemma 1) and
conjugate gradients (algorithm 2), so that neither the number of inner steps nor the optimiser
matters to it, and nothing of the inner loop is kept in memory.

The support loss curves downwards in some directions, and more so than the pull holds against it:
the system is then indefinite and conjugate gradients break down. So it is damped. The released code
solves (2 + H / (strength + 10)) v = g; up to a factor 2, which Adam takes out but for its epsilon,
that is a damping of strength + 20.

Nor does it descend that objective: its inner steps descend the support loss, one more pulls back
(by a fifth of the way), and nothing pulls at test. That is what happens here unless
`proximal_every_step`, with which 16 steps of 0.1 along a constant gradient, under a pull of 2, end
0.4 times as far away.

Deviations: Adam's epsilon is optax's, there 1e-3; the released test shuffles the characters by
another seed than the training, so that 310 of its 423 test characters are among those trained on,
here none is.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import optax
from jax.scipy.sparse.linalg import cg

from metalearn.learners import maml
from metalearn.learners.adapted import Adapted, logits_of, with_moments
from metalearn.learners.recipes import Recipe
from metalearn.ops.inner_loop import descend
from metalearn.ops.losses import cross_entropy, episode_loss, half_squared_distance
from metalearn.settings import setting
from metalearn.types import Array, Key, Learner, Network, PyTree


@dataclass(frozen=True)
class Settings(maml.Settings):
    """What iMAML reads."""

    proximal: float = setting(
        2.0, "strength of iMAML's pull to the initial weights, lambda", least=1e-3
    )
    proximal_every_step: bool = setting(
        False,
        "iMAML pulls at every inner step, and at test; else once, after the last inner step of "
        "training",
    )
    cg_steps: int = setting(5, "steps of conjugate gradients of iMAML", least=1)
    cg_damping: float = setting(
        22.0, "added to --proximal in the system that gives iMAML's gradient", least=0
    )


def proximal(
    loss: Callable[[PyTree], Array],
    start: PyTree,
    strength: float,
    optimizer: optax.GradientTransformation,
    steps: int,
    cg_steps: int,
    damping: float = 0.0,
    proximal_every_step: bool = True,
) -> PyTree:
    """params that minimise loss(params) + strength/2 |params - start|^2, differentiable in start.

    The value is that after `steps` of the optimizer from start. The derivative is (1 + H /
    (strength + damping))^-1 with H the Hessian of the loss at the value, as far as cg_steps of
    conjugate gradients reach: undamped that of the exact minimiser; the more it is damped, the
    nearer the identity, that of first-order MAML.

    Args:
      loss: `params -> scalar`, of the support set.
      start: where the steps begin, and what the params are pulled to.
      strength: of the pull, lambda.
      optimizer: of the inner steps.
      steps: J.
      cg_steps: of conjugate gradients, in the backward pass.
      damping: added to strength in the derivative.
      proximal_every_step: whether every step descends loss and pull; else they descend the loss
        alone, and one more step descends the pull.
    """
    # The inner loop is not differentiated: nothing of it is kept for the backward pass
    fixed = jax.tree.map(jax.lax.stop_gradient, start)

    def pull(params: PyTree) -> Array:
        return strength * half_squared_distance(params, fixed)

    if proximal_every_step:
        found = descend(lambda params: loss(params) + pull(params), fixed, optimizer, steps)
    else:
        found = descend(pull, descend(loss, fixed, optimizer, steps), optimizer, 1)
    found = jax.tree.map(jax.lax.stop_gradient, found)

    # The Hessian is symmetric: its product with v is that of v with it
    hessian = jax.vjp(jax.grad(loss), found)[1]

    def system(v: PyTree) -> PyTree:
        (curved,) = hessian(v)
        return optax.tree.add_scale(v, 1 / (strength + damping), curved)

    # Zero, but its derivative is one: what reaches `found` from outside passes through `cg`, which
    # JAX differentiates by solving the (symmetric) system once more
    moved = optax.tree.sub(start, fixed)
    return optax.tree.add(found, cg(system, moved, tol=1e-8, maxiter=cg_steps)[0])


def imaml(
    network: Network,
    ways: int,
    inner_lr: float = 0.1,
    inner_steps: int = 16,
    strength: float = 2.0,
    cg_steps: int = 5,
    damping: float = 22.0,
    norm: str = "batch",
    proximal_every_step: bool = False,
    initial: str = "default",
) -> Learner:
    """A learner whose adapted weights stay near the initial ones, by an implicit gradient.

    Args:
      network: the body.
      ways: N, outputs of the head.
      inner_lr: step size of plain gradient descent.
      inner_steps: J.
      strength: of the pull to the initial weights, lambda in the paper.
      cg_steps: of conjugate gradients, in the backward pass.
      damping: see `proximal`.
      norm, initial: see `maml`.
      proximal_every_step: at every inner step and at test, else after the last inner step of
        training alone.

    Raises:
      UserError: unknown `norm`.
    """
    # What no weight pulls back
    free = maml.maml(network, ways, inner_lr, inner_steps, norm=norm, initial=initial)

    def near(key: Key, meta: PyTree, support_x: Array, support_y: Array) -> Adapted:
        prepared = network.prepare(support_x)

        def support_loss(weights: PyTree) -> Array:
            return cross_entropy(logits_of(network, weights, prepared), support_y)

        solve = strength, optax.sgd(inner_lr), inner_steps, cg_steps, damping, proximal_every_step
        return with_moments(network, norm, proximal(support_loss, meta, *solve), support_x)

    return free._replace(
        adapt=near if proximal_every_step else free.adapt, loss=episode_loss(near, free.predict)
    )


def build(settings: Settings, network: Network, norm: str) -> Learner:
    """The learner of these settings; the body and the normalisation as in `imaml`."""
    return imaml(
        network,
        settings.ways,
        inner_lr=settings.inner_lr,
        inner_steps=settings.inner_steps,
        strength=settings.proximal,
        cg_steps=settings.cg_steps,
        damping=settings.cg_damping,
        norm=norm,
        proximal_every_step=settings.proximal_every_step,
        initial=settings.initial,
    )


def recipe(dataset: str, shots: int) -> Recipe:
    """Rajeswaran et al. 2019, table 2, and the released code: lambda 2 and 16 steps of 0.1.

    That is on Omniglot, on flattened features, damped (see the module). Elsewhere ours.
    """
    published: Recipe = dict(
        inner_lr=0.1,
        inner_steps=16,
        test_inner_steps=16,
        proximal=2.0,
        cg_steps=5,
        cg_damping=22.0,
    )
    if dataset == "omniglot":
        published |= dict(backbone="conv4-64-strided-flat", steps=20_000)
    return maml.recipe(dataset, shots) | published
