"""Heads: classifiers fitted to the features of one task's support set.

Each is a pair of pure functions (`metalearn.base.Head`): `fit(key, z [S,D], y [S], ways)` and
`predict(fitted, z [Q,D]) -> logits [Q,N]`. A body may be trained through one, or be given one after pre-training.
"""

import jax
import jax.numpy as jnp
import optax

from metalearn.base import Array, Head, Key, PyTree
from metalearn.classifier import KINDS, classify, init_classifier
from metalearn.errors import UserError
from metalearn.losses import cosine, cross_entropy, squared_euclidean, unit


def class_means(z: Array, y: Array, ways: int) -> Array:
    """Mean [N,D] of the rows of z [S,D] of each label."""
    members = jax.nn.one_hot(y, ways, dtype=z.dtype)
    return members.T @ z / members.sum(0)[:, None]


def nearest_centroid(distance: str = "euclidean", scale: float = 1.0) -> Head:
    """Softmax over negative distances to class means (Snell et al. 2017, equations 1 and 2).

    distance is `euclidean` (squared) or `cosine` (scale times the cosine similarity, as in Chen et al. 2020).
    """
    if distance not in ("euclidean", "cosine"):
        raise UserError(f"distance must be euclidean or cosine, not '{distance}'")

    def predict(means: Array, z: Array) -> Array:
        if distance == "cosine":
            return scale * cosine(z, means)
        return -scale * squared_euclidean(z, means)

    return Head(lambda key, z, y, ways: class_means(z, y, ways), predict)


def sgd_classifier(kind: str = "linear", epochs: int = 100, batch: int = 4, scale: float = 2.0) -> Head:
    """The new classifier of Baseline (`linear`) and Baseline++ (`cosine`), Chen et al. 2019, section 3.2.

    Trained as they do: SGD at 0.01, momentum 0.9, dampening 0.9, weight decay 1e-3, shuffled batches of 4, 100 epochs.
    Deviations: an epoch's incomplete batch is left out (every shuffle leaves out others), the first step is dampened
    like all others.
    """
    if kind not in KINDS:
        raise UserError(f"classifier must be {' or '.join(KINDS)}, not '{kind}'")
    optimizer = optax.chain(
        optax.add_decayed_weights(1e-3), optax.scale(0.1), optax.trace(decay=0.9), optax.scale(-0.01)
    )

    def predict(fitted: PyTree, z: Array) -> Array:
        return classify(kind, fitted, z, scale)

    def fit(key: Key, z: Array, y: Array, ways: int) -> PyTree:
        init_key, key = jax.random.split(key)
        params = init_classifier(init_key, kind, z.shape[-1], ways)
        size = min(batch, len(z))
        orders = jax.vmap(lambda k: jax.random.permutation(k, len(z)))(jax.random.split(key, epochs))
        batches = orders[:, : len(z) // size * size].reshape(-1, size)

        def step(carry: tuple[PyTree, PyTree], rows: Array) -> tuple[tuple[PyTree, PyTree], None]:
            params, state = carry
            grads = jax.grad(lambda p: cross_entropy(predict(p, z[rows]), y[rows]))(params)
            updates, state = optimizer.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), None

        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), batches)
        return params

    return Head(fit, predict)


def logistic_regression(c: float = 1.0, normalise: bool = True, iterations: int = 15) -> Head:
    """Multinomial logistic regression with an L2 penalty, minimised to convergence by Newton's method.

    The head of RFS (Tian et al. 2020, section 3.1): features scaled to length one, then scikit-learn's objective
    |w|^2 / 2 + c * sum of cross-entropies, biases not penalised. The weights lie in the span of the S support
    features, so the problem is solved in min(S,D)*N coordinates and N biases. Each step is the largest of a
    few fractions of Newton's that does not raise the objective. More iterations are needed only where c times the
    squared length of the features is beyond a thousand or so.
    """

    def fit(key: Key, z: Array, y: Array, ways: int) -> PyTree:
        z = unit(z) if normalise else z
        basis = jnp.linalg.qr(z.T)[0] if len(z) < z.shape[-1] else jnp.eye(z.shape[-1], dtype=z.dtype)
        x = jnp.pad(z @ basis, ((0, 0), (0, 1)), constant_values=1.0)  # [S,R+1], the last column for the biases
        penalty = jnp.ones((x.shape[-1], 1), z.dtype).at[-1].set(0)
        target = jax.nn.one_hot(y, ways, dtype=z.dtype)
        fractions = jnp.array([1, 0.5, 0.25, 0.125, 0.03, 0], z.dtype)

        def objective(theta: Array) -> Array:
            return (penalty * theta**2).sum() / 2 - c * (target * jax.nn.log_softmax(x @ theta)).sum()

        def step(theta: Array, _: None) -> tuple[Array, None]:
            p = jax.nn.softmax(x @ theta)
            gradient = penalty * theta + c * x.T @ (p - target)
            direction = _newton(x, p, penalty, gradient, c)
            candidates = theta - fractions[:, None, None] * direction
            values = jax.vmap(objective)(candidates)
            rounding = 10 * jnp.finfo(z.dtype).eps * values[-1]
            return candidates[jnp.argmax(values <= values[-1] + rounding)], None

        theta, _ = jax.lax.scan(step, jnp.zeros((x.shape[-1], ways), z.dtype), length=iterations)
        return {"w": basis @ theta[:-1], "b": theta[-1]}

    def predict(fitted: PyTree, z: Array) -> Array:
        z = unit(z) if normalise else z
        return z @ fitted["w"] + fitted["b"]

    return Head(fit, predict)


def _newton(x: Array, p: Array, penalty: Array, gradient: Array, c: float) -> Array:
    """Hessian of the penalised cross-entropy at probabilities p [S,N], inverted on its gradient [R+1,N].

    The system is scaled to a unit diagonal and a few roundings are added there, so that it can be solved wherever p
    is saturated.
    """
    ways, size = p.shape[-1], gradient.size
    curvature = p[:, :, None] * (jnp.eye(ways, dtype=p.dtype) - p[:, None, :])  # [S,N,N], dp/dlogits
    hessian = c * jnp.einsum("sa,snm,sb->anbm", x, curvature, x)
    hessian = hessian.at[-1, :, -1, :].add(c)  # biases sum to zero: the softmax leaves that free
    hessian = hessian.reshape(size, size) + jnp.diag(jnp.broadcast_to(penalty, gradient.shape).reshape(-1))
    scale = jax.lax.rsqrt(jnp.diag(hessian))
    system = hessian * scale * scale[:, None] + 10 * jnp.finfo(x.dtype).eps * jnp.eye(size, dtype=x.dtype)
    return (scale * jnp.linalg.solve(system, scale * gradient.reshape(-1))).reshape(gradient.shape)
