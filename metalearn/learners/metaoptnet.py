"""MetaOptNet: a convex classifier as the head, differentiated at its optimum.

Lee, Maji, Ravichandran, Soatto. Meta-Learning with Differentiable Convex Optimization. CVPR 2019.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from metalearn.errors import UserError
from metalearn.learners import embedding
from metalearn.learners.r2d2 import ridge_weights
from metalearn.learners.recipes import CHARACTERS, PLAIN, Recipe
from metalearn.ops.losses import smoothed_cross_entropy
from metalearn.settings import Smoothed, setting
from metalearn.types import Array, Head, Key, Learner, Network, PyTree, TrainedHead


@dataclass(frozen=True)
class Settings(embedding.Settings, Smoothed):
    """What MetaOptNet reads."""

    head: str = setting("svm", "of metaoptnet: svm or ridge")


def svm_dual(kernel: Array, target: Array, c: float = 0.1, iterations: int = 20) -> Array:
    """Dual variables A [S,N] of the multi-class SVM of Crammer & Singer 2001 (equation 9).

    Its weights are z^T A. A minimises tr(A^T K A)/2 - <Y,A> with rows that sum to zero and A <= c
    Y: so B = c Y - A has rows on the simplex of size c. A primal-dual interior-point method with
    damped steps; Newton's system falls into one S x S system a class, tied together by one for the
    rows' sums.

    The derivative is that of the optimality conditions (section 3.3): one more Newton step, from
    the solution taken as constant, whose right-hand side is the residual as a function of the
    kernel.

    To K's diagonal is added what keeps Newton's system solvable, 10 eps tr(K) (the released code:
    1).

    Args:
      kernel: K [S,S], inner products of the support features.
      target: Y [S,N], one-hot labels.
      c: the SVM's penalty on slack.
      iterations: steps of the interior-point method; each divides the gap by up to ten.
    """
    eps = jnp.finfo(kernel.dtype).eps
    kernel = kernel + 10 * eps * jnp.trace(kernel) * jnp.eye(len(kernel), dtype=kernel.dtype)
    fixed = jax.lax.stop_gradient(kernel)
    start = (
        jnp.full_like(target, c / target.shape[-1]),
        jnp.ones_like(target),
        jnp.zeros_like(target[:, 0]),
    )

    def step(state: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], None]:
        b, m, nu = state  # on the simplex, its multipliers, and those of the rows' sums
        gap = jnp.maximum(0.1 * (b * m).mean(), 10 * eps * c)
        dual = target - fixed @ (c * target - b) + nu[:, None] - m
        change, sums = _newton(fixed, m / b, -dual - m + gap / b)
        multipliers = (gap - m * change) / b - m
        size = jnp.minimum(_largest(b, change), _largest(m, multipliers))
        return (b + size * change, m + size * multipliers, nu + size * sums), None

    (b, m, _), _ = jax.lax.scan(step, start, length=iterations)
    # The iterations are not differentiated; the last line is: its value is the solution, for the
    # residual minus itself is zero, and its derivative that of one Newton step
    b, m = jax.lax.stop_gradient((b, m))
    solution = c * target - b
    residual = kernel @ solution
    return solution - _newton(fixed, m / b, residual - jax.lax.stop_gradient(residual))[0]


def _newton(kernel: Array, weight: Array, right: Array) -> tuple[Array, Array]:
    """Newton's system: x [S,N] whose rows sum to zero, and the multipliers t [S] of these sums.

    They solve (K + diag(weight_n)) x_n + t = right_n for every class n.
    """
    inverse = jnp.linalg.inv(kernel + jax.vmap(jnp.diag)(weight.T))  # [N,S,S]
    sums = jnp.linalg.solve(inverse.sum(0), jnp.einsum("nst,tn->s", inverse, right))
    return jnp.einsum("nst,tn->sn", inverse, right - sums[:, None]), sums


def _largest(x: Array, change: Array) -> Array:
    """The step, at most 1, that goes 99 % of the way to where an entry of x would vanish."""
    return jnp.minimum(1.0, 0.99 * jnp.where(change < 0, -x / change, jnp.inf).min())


def svm_head(c: float = 0.1, iterations: int = 20) -> TrainedHead:
    """Crammer & Singer's linear SVM without biases; its logits' scale is learned (section 3.4)."""

    def fit(key: Key, z: Array, y: Array, ways: int) -> Array:
        return z.T @ svm_dual(z @ z.T, jax.nn.one_hot(y, ways, dtype=z.dtype), c, iterations)

    return _scaled(fit)


def ridge_head(penalty: float = 50.0) -> TrainedHead:
    """Ridge regression onto labels 0 and 2 without biases; its logits' scale is learned.

    As in the released code.
    """

    def fit(key: Key, z: Array, y: Array, ways: int) -> Array:
        return ridge_weights(z, 2 * jax.nn.one_hot(y, ways, dtype=z.dtype), penalty)

    return _scaled(fit)


def _scaled(fit: Callable[..., Array]) -> TrainedHead:
    def head(params: PyTree) -> Head:
        return Head(fit, lambda weights, z: params["scale"] * z @ weights)

    return TrainedHead(lambda key, shape: {"scale": jnp.ones(())}, head)


HEADS: dict[str, Callable[[], TrainedHead]] = {"svm": svm_head, "ridge": ridge_head}


def metaoptnet(
    network: Network, ways: int, head: str = "svm", smoothing: float = 0.0, norm: str = "running"
) -> Learner:
    """Train the body through a support vector machine or ridge regression.

    Deviation: batches are normalised task by task (the released code: the support images of all
    tasks of an update together, and their queries), and the SVM is solved to its optimum (there by
    15 steps of a solver in training and 3 in tests).

    Args:
      network: the body.
      ways: N of the episodes.
      head: `svm` or `ridge`.
      smoothing: of the query labels in training.
      norm: see `embedding`.

    Raises:
      UserError: unknown head.
    """
    if head not in HEADS:
        raise UserError(f"MetaOptNet's head must be {' or '.join(HEADS)}, not '{head}'")
    loss_of = partial(smoothed_cross_entropy, smoothing=smoothing)
    return embedding.embedding(network, HEADS[head](), ways, norm, loss_of)


def build(settings: Settings, network: Network, ways: int, norm: str) -> Learner:
    """The learner of these settings.

    Args:
      settings: those of the method.
      network, ways, norm: see `metaoptnet`.
    """
    return metaoptnet(
        network, ways, head=settings.head, smoothing=settings.label_smoothing, norm=norm
    )


def recipe(dataset: str, shots: int) -> Recipe:
    """Lee et al. 2019, section 4.1, and the released code: SGD at 0.1 with Nesterov momentum.

    Weight decay is 5e-4 of all weights, with 8 episodes an update, 60 epochs of 1,000 updates (in
    the paper of 1,000 episodes), rates of 0.1, 0.006, 0.0012 and 0.00024 from epochs 0, 20, 40 and
    50; 5 shots in training on CIFAR-FS, 15 elsewhere; 6 queries.
    """
    published = dict(
        backbone="resnet12-flat",
        norm="running",
        optimizer="sgd",
        lr=0.1,
        weight_decay=5e-4,
        decay="all",
        schedule="steps:0.06@0.33333,0.2@0.66667,0.2@0.83333",
        augment="flip,crop,jitter",
        train_queries=6,
        meta_batch=8,
        steps=60_000,
    )
    others: dict[str, Recipe] = dict.fromkeys(CHARACTERS, PLAIN) | {
        "cifar_fs": dict(train_shots=5),
        "fc100": dict(train_shots=15),
        "mini_imagenet": dict(backbone="resnet12-84px-flat", train_shots=15, label_smoothing=0.1),
    }
    return published | others.get(dataset, {})
