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


def nearest_centroid(distance: str = "euclidean", scale: float = 1.0, normalise: bool = False) -> Head:
    """Softmax over negative distances to class means (Snell et al. 2017, equations 1 and 2).

    distance is `euclidean` (squared) or `cosine` (scale times the cosine similarity, as in Chen et al. 2020);
    normalise scales features to length one first (SimpleShot, Wang et al. 2019, section 3).
    """
    if distance not in ("euclidean", "cosine"):
        raise UserError(f"distance must be euclidean or cosine, not '{distance}'")

    def fit(key: Key, z: Array, y: Array, ways: int) -> Array:
        return class_means(unit(z) if normalise else z, y, ways)

    def predict(means: Array, z: Array) -> Array:
        z = unit(z) if normalise else z
        if distance == "cosine":
            return scale * cosine(z, means)
        return -scale * squared_euclidean(z, means)

    return Head(fit, predict)


def nearest_neighbour() -> Head:
    """Softmax over negative squared distances to each class's nearest support feature, all of length one.

    With one image a class it is the nearest centroid (Wang et al. 2019, section 3).
    """

    def fit(key: Key, z: Array, y: Array, ways: int) -> tuple[Array, Array]:
        return unit(z), jax.nn.one_hot(y, ways, dtype=bool)

    def predict(fitted: tuple[Array, Array], z: Array) -> Array:
        support, member = fitted
        distances = squared_euclidean(unit(z), support)
        return -jnp.where(member, distances[:, :, None], jnp.inf).min(1)

    return Head(fit, predict)


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
