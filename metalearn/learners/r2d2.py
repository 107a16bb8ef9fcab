"""R2D2: ridge regression as the head.

Bertinetto, Henriques, Torr, Vedaldi. Meta-learning with Differentiable Closed-form Solvers. ICLR
2019.
"""

import jax
import jax.numpy as jnp

from metalearn.learners.embedding import embedding
from metalearn.types import Array, Head, Key, Learner, Network, PyTree, TrainedHead


def ridge_weights(x: Array, target: Array, penalty: Array | float) -> Array:
    """W [D,N] that minimises |x W - target|^2 + penalty |W|^2; x [S,D], target [S,N] (section 3.2,
    equations 4 and 6).

    Solved in min(S,D) unknowns a class: in the dual (Woodbury's identity) where there are fewer
    images than features.
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
    return embedding(network, r2d2_head(scale=scale), ways, norm)
