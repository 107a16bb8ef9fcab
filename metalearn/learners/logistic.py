"""Multinomial logistic regression, the head of RFS."""

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg

from metalearn.learners import pretrained
from metalearn.learners.recipes import CHARACTERS, Recipe
from metalearn.ops.losses import unit
from metalearn.types import Array, Head, Key, PyTree


def logistic_regression(c: float = 1.0, normalise: bool = True, iterations: int = 15) -> Head:
    """Multinomial logistic regression with an L2 penalty, by Newton's method to convergence.

    The head of RFS (Tian et al. 2020, section 3.1): features scaled to length one, then
    scikit-learn's objective |w|^2 / 2 + c * sum of cross-entropies, biases not penalised. Features
    are centred meanwhile, which changes nothing but the biases and parts them from the weights.
    Newton's system is solved by conjugate gradients, products with the features alone; each step is
    the largest of a few fractions of Newton's that does not raise the objective. More iterations
    are needed only where c times the squared length of the features is beyond a thousand or so.
    """

    def fit(key: Key, z: Array, y: Array, ways: int) -> PyTree:
        z = unit(z) if normalise else z
        middle = z.mean(0)
        # [S,D+1], the last column for the biases
        x = jnp.pad(z - middle, ((0, 0), (0, 1)), constant_values=1.0)
        penalty = jnp.ones((x.shape[-1], 1), z.dtype).at[-1].set(0)
        target = jax.nn.one_hot(y, ways, dtype=z.dtype)
        fractions = jnp.array([1, 0.5, 0.25, 0.125, 0.03, 0], z.dtype)

        def step(theta: Array, _: None) -> tuple[Array, None]:
            logits = x @ theta
            direction = _newton(x, jax.nn.softmax(logits), target, penalty, theta, c)
            change = x @ direction

            def objective(fraction: Array) -> Array:
                fit_term = (target * jax.nn.log_softmax(logits - fraction * change)).sum()
                return (penalty * (theta - fraction * direction) ** 2).sum() / 2 - c * fit_term

            values = jax.vmap(objective)(fractions)
            rounding = 10 * jnp.finfo(z.dtype).eps * values[-1]
            return theta - fractions[jnp.argmax(values <= values[-1] + rounding)] * direction, None

        theta, _ = jax.lax.scan(step, jnp.zeros((x.shape[-1], ways), z.dtype), length=iterations)
        biases = theta[-1] - middle @ theta[:-1]
        return {"w": theta[:-1], "b": biases - biases.mean()}  # the softmax leaves their sum free

    def predict(fitted: PyTree, z: Array) -> Array:
        z = unit(z) if normalise else z
        return z @ fitted["w"] + fitted["b"]

    return Head(fit, predict)


def _newton(x: Array, p: Array, target: Array, penalty: Array, theta: Array, c: float) -> Array:
    """Newton's direction [D+1,N] of the penalised cross-entropy at probabilities p [S,N].

    That is the inverse Hessian times the gradient. Solved until the residual is a thousandth of the
    gradient, or no more than the rounding in it; preconditioned by the diagonal. Beyond rounding
    conjugate gradients wander and break down: no step is made then.
    """
    gradient = penalty * theta + c * x.T @ (p - target)
    diagonal = penalty + c * (x * x).T @ (p * (1 - p)) + jnp.finfo(x.dtype).eps

    def hessian(v: Array) -> Array:
        u = p * (x @ v)
        return penalty * v + c * x.T @ (u - p * u.sum(-1, keepdims=True))

    rounding = jnp.finfo(x.dtype).eps * c * (len(x) * theta.size) ** 0.5
    direction, _ = cg(
        hessian, gradient, tol=1e-3, atol=rounding, maxiter=200, M=lambda v: v / diagonal
    )
    return jnp.where(jnp.isfinite(direction).all(), direction, 0)


def recipe(dataset: str, shots: int) -> Recipe:
    """RFS: Tian et al. 2020's last code crops and flips the copies; an earlier one jittered them.

    Characters are not augmented, so they have no copies.
    """
    copies = dict(support_copies=1 if dataset in CHARACTERS else 5)
    return pretrained.recipe(dataset, shots) | copies
