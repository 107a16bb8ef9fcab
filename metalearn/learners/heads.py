"""Heads: classifiers fitted to the features of one task's support set.

Each is a pair of pure functions (`metalearn.types.Head`): `fit(key, z [S,D], y [S], ways)` and
`predict(fitted, z [Q,D]) -> logits [Q,N]`. A body may be trained through one, or be given one after
pre-training.
"""

import jax
import jax.numpy as jnp
import optax

from metalearn.errors import UserError
from metalearn.ops.classifier import KINDS, classify
from metalearn.ops.losses import cosine, squared_euclidean, unit
from metalearn.types import Array, Head, Key, PyTree


def class_means(z: Array, y: Array, ways: int) -> Array:
    """Mean [N,D] of the rows of z [S,D] of each label; zero for a label that no row has."""
    members = jax.nn.one_hot(y, ways, dtype=z.dtype)
    return members.T @ z / jnp.maximum(members.sum(0), 1)[:, None]


def nearest_centroid(
    distance: str = "euclidean", scale: float = 1.0, normalise: bool = False
) -> Head:
    """Softmax over negative distances to class means (Snell et al. 2017, equations 1 and 2).

    distance is `euclidean` (squared) or `cosine` (scale times the cosine similarity, as in Chen et
    al. 2021); normalise scales features to length one first (SimpleShot, Wang et al. 2019, section
    3).

    Raises:
      UserError: unknown distance.
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
    """Softmax over negative squared distances to each class's nearest support feature.

    All features are scaled to length one. With one image a class it is the nearest centroid (Wang
    et al. 2019, section 3).
    """

    def fit(key: Key, z: Array, y: Array, ways: int) -> tuple[Array, Array]:
        return unit(z), jax.nn.one_hot(y, ways, dtype=bool)

    def predict(fitted: tuple[Array, Array], z: Array) -> Array:
        support, member = fitted
        distances = squared_euclidean(unit(z), support)
        return -jnp.where(member, distances[:, :, None], jnp.inf).min(1)

    return Head(fit, predict)


def sgd_classifier(
    kind: str = "linear", epochs: int = 100, batch: int = 4, scale: float = 2.0
) -> Head:
    """The new classifier of Baseline and Baseline++ (Chen et al. 2019, section 3.2).

    Trained as their released code does: weights from U(-1/sqrt(D), 1/sqrt(D)) (PyTorch's, the
    biases' too; the cosine classifier's lengths begin as those of its weights), SGD at 0.01,
    momentum 0.9, dampening 0.9 (not of the first step), weight decay 1e-3 of all parameters, 100
    epochs of shuffled batches of 4, the last as small as it is.

    Args:
      kind: `linear` (Baseline) or `cosine` (Baseline++).
      epochs: passes over the support set.
      batch: images an update.
      scale: of the cosine classifier's logits.

    Raises:
      UserError: unknown kind.
    """
    if kind not in KINDS:
        raise UserError(f"classifier must be {' or '.join(KINDS)}, not '{kind}'")

    def predict(fitted: PyTree, z: Array) -> Array:
        return classify(kind, fitted, z, scale)

    def init(key: Key, features: int, ways: int) -> PyTree:
        w_key, b_key = jax.random.split(key)
        bound = features**-0.5
        w = jax.random.uniform(w_key, (features, ways), minval=-bound, maxval=bound)
        if kind == "linear":
            return {"w": w, "b": jax.random.uniform(b_key, (ways,), minval=-bound, maxval=bound)}
        return {"w": w, "g": jnp.linalg.norm(w, axis=0)}

    def fit(key: Key, z: Array, y: Array, ways: int) -> PyTree:
        init_key, key = jax.random.split(key)
        params = init(init_key, z.shape[-1], ways)
        orders = jax.vmap(lambda k: jax.random.permutation(k, len(z)))(
            jax.random.split(key, epochs)
        )
        # Shapes are fixed: the last batch of an epoch is padded, and `there` leaves the padding out
        missing = -len(z) % batch
        batches = jnp.pad(orders, ((0, 0), (0, missing))).reshape(-1, batch)
        there = jnp.tile(jnp.pad(jnp.ones(len(z)), (0, missing)).reshape(-1, batch), (epochs, 1))

        def gradient(params: PyTree, rows: Array, there: Array) -> PyTree:
            def loss(params: PyTree) -> Array:
                losses = optax.softmax_cross_entropy_with_integer_labels(
                    predict(params, z[rows]), y[rows]
                )
                return (there * losses).sum() / there.sum()

            return jax.tree.map(lambda g, p: g + 1e-3 * p, jax.grad(loss)(params), params)

        def step(
            carry: tuple[PyTree, PyTree], rows: tuple[Array, Array]
        ) -> tuple[tuple[PyTree, PyTree], None]:
            params, speed = carry
            speed = jax.tree.map(lambda v, g: 0.9 * v + 0.1 * g, speed, gradient(params, *rows))
            return (jax.tree.map(lambda p, v: p - 0.01 * v, params, speed), speed), None

        # As in PyTorch the speed begins as the first gradient: 0.9 g + 0.1 g, without dampening
        (params, _), _ = jax.lax.scan(
            step, (params, gradient(params, batches[0], there[0])), (batches, there)
        )
        return params

    return Head(fit, predict)
