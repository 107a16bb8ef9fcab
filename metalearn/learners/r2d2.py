"""R2D2: ridge regression as the head.

Bertinetto, Henriques, Torr, Vedaldi. Meta-learning with Differentiable Closed-form Solvers. ICLR
2019.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from metalearn.learners import embedding
from metalearn.learners.recipes import CHARACTERS, Recipe
from metalearn.settings import Scaled
from metalearn.types import Array, Head, Key, Learner, Network, PyTree, TrainedHead


@dataclass(frozen=True)
class Settings(embedding.Settings, Scaled):
    """What R2D2 reads."""


def ridge_weights(x: Array, target: Array, penalty: Array | float) -> Array:
    """W [D,N] that minimises |x W - target|^2 + penalty |W|^2 (section 3.2, equations 4 and 6).

    x is [S,D], target [S,N]. Solved in min(S,D) unknowns a class: in the dual (Woodbury's identity)
    where there are fewer images than features.
    """
    if len(x) <= x.shape[-1]:
        return x.T @ jax.scipy.linalg.solve(
            x @ x.T + penalty * jnp.eye(len(x)), target, assume_a="pos"
        )
    return jax.scipy.linalg.solve(
        x.T @ x + penalty * jnp.eye(x.shape[-1]), x.T @ target, assume_a="pos"
    )


def r2d2_head(penalty: float = 50.0, scale: float = 10.0) -> TrainedHead:
    """Ridge regression onto one-hot labels; the logits' scale is learned (section 3.2, equation 7).

    As in the released code and configurations, the error is the mean over the S images (so the
    penalty counts S times), the penalty is fixed (the paper learns it), and a column of ones,
    penalised like the others, gives the biases. A learned bias common to all logits is left out:
    the softmax cancels it.
    """

    def init(key: Key, shape: tuple[int, ...]) -> PyTree:
        return {"scale": jnp.float32(scale)}

    def head(params: PyTree) -> Head:
        def fit(key: Key, z: Array, y: Array, ways: int) -> Array:
            target = jax.nn.one_hot(y, ways, dtype=z.dtype)
            return ridge_weights(with_ones(z), target, len(z) * penalty)

        return Head(fit, lambda weights, z: params["scale"] * with_ones(z) @ weights)

    return TrainedHead(init, head)


def with_ones(z: Array) -> Array:
    """z [B,D] with a last column of ones."""
    return jnp.pad(z, ((0, 0), (0, 1)), constant_values=1.0)


def r2d2(network: Network, ways: int, scale: float = 10.0, norm: str = "running") -> Learner:
    """Train the body through ridge regression, in closed form and differentiable.

    Args:
      network: the body.
      ways: N of the episodes.
      scale: of the logits before training.
      norm: see `embedding`.
    """
    return embedding.embedding(network, r2d2_head(scale=scale), ways, norm)


def build(settings: Settings, network: Network, ways: int, norm: str) -> Learner:
    """The learner of these settings.

    Args:
      settings: those of the method.
      network, ways, norm: see `r2d2`.
    """
    return r2d2(network, ways, scale=settings.scale, norm=norm)


def recipe(dataset: str, shots: int) -> Recipe:
    """Bertinetto et al. 2019, released configurations: Adam at 5e-3, halved every 2,000 episodes.

    Episodes are of 240 images, 20 ways on CIFAR, 16 on miniImageNet, 60 on Omniglot (600 images),
    there without dropout; the logits' scale begins at 10 or 1e-4, weights begin as PyTorch's. Shots
    of training episodes are drawn from 1 to 9.
    """
    published = dict(
        backbone="conv4-512-28px" if dataset in CHARACTERS else "conv4-512",
        norm="running",
        lr=5e-3,
        schedule="halve:2000",
        train_shots=5,
        train_queries=7,
        most_train_shots=9,
        meta_batch=1,
        steps=60_000,
        scale=10.0,
        initial="torch",
    )
    others: dict[str, Recipe] = {
        "omniglot": dict(train_ways=60, train_queries=5, steps=20_000),
        "cifar_fs": dict(train_ways=20),
        "fc100": dict(train_ways=20),
        "mini_imagenet": dict(
            backbone="conv4-512-84px", train_ways=16, train_queries=10, scale=1e-4
        ),
    }
    return published | others.get(dataset, {})
