"""Losses and distances, for one task."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from metalearn.types import Array, Info, Key, PyTree, Task


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Mean negative log-likelihood in nats; logits [B,N], labels int [B].

    Example: where all logits are equal it is the logarithm of the number of classes.

        >>> import jax.numpy as jnp
        >>> from metalearn.ops.losses import cross_entropy
        >>> round(float(cross_entropy(jnp.zeros((2, 4)), jnp.array([0, 3]))), 4)
        1.3863
    """
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def smoothed_cross_entropy(logits: Array, labels: Array, smoothing: float) -> Array:
    """Mean cross-entropy in nats, label smoothing spread over the other classes.

    The target of the label is 1 - smoothing (not plus its share, as where all classes share it).
    """
    ways = logits.shape[-1]
    # max: with one class there is no other to share the rest
    target = jnp.where(
        jax.nn.one_hot(labels, ways) > 0, 1 - smoothing, smoothing / max(ways - 1, 1)
    )
    return optax.softmax_cross_entropy(logits, target).mean()


def divergence(logits: Array, teacher: Array, temperature: float = 4.0) -> Array:
    """Knowledge distillation: mean T^2 KL(softmax(teacher / T) | softmax(logits / T)), in nats.

    Hinton et al. 2015, section 2; logits of both are [B,N], T is the temperature.
    """
    log_p = jax.nn.log_softmax(teacher / temperature)
    log_q = jax.nn.log_softmax(logits / temperature)
    # Gradients of softened targets shrink as 1 / T^2: the factor keeps their size for every T
    return temperature**2 * (jnp.exp(log_p) * (log_p - log_q)).sum(-1).mean()


def binary_cross_entropy(logits: Array, labels: Array) -> Array:
    """Mean cross-entropy of sigmoids in nats, over images and classes, each against the rest.

    Logits are [B,N], labels int [B].
    """
    one_hot = jax.nn.one_hot(labels, logits.shape[-1])
    return optax.sigmoid_binary_cross_entropy(logits, one_hot).mean()


def squared_error(logits: Array, labels: Array) -> Array:
    """Mean squared difference of sigmoid(logits) [B,N] and the one-hot labels [B]."""
    return jnp.square(jax.nn.sigmoid(logits) - jax.nn.one_hot(labels, logits.shape[-1])).mean()


def accuracy(logits: Array, labels: Array) -> Array:
    """Fraction of rows whose largest logit is the label; logits [B,N], labels int [B]."""
    # dtype: where float64 is enabled, a mean of booleans would be float64
    return (logits.argmax(-1) == labels).mean(dtype=jnp.float32)


def episode_loss(
    adapt: Callable[..., PyTree], predict: Callable[..., Array]
) -> Callable[..., tuple[Array, Info]]:
    """The `loss` of an episodic learner: cross-entropy of the queries after adapting."""

    def loss(key: Key, meta: PyTree, task: Task, step: Array | int = 0) -> tuple[Array, Info]:
        logits = predict(meta, adapt(key, meta, task.support_x, task.support_y), task.query_x)
        value = cross_entropy(logits, task.query_y)
        return value, {"loss": value, "accuracy": accuracy(logits, task.query_y)}

    return loss


def half_squared_distance(a: PyTree, b: PyTree) -> Array:
    """Half the squared Euclidean distance of two trees of parameters, |a - b|^2 / 2."""
    return optax.tree.norm(optax.tree.sub(a, b), squared=True) / 2


def squared_euclidean(a: Array, b: Array) -> Array:
    """Pairwise squared distances [A,B] of rows a [A,D] and b [B,D], as |a|^2 - 2ab + |b|^2."""
    # One matrix product, without the [A,B,D] differences; equal rows may give a little below zero
    return (a * a).sum(-1)[:, None] - 2 * a @ b.T + (b * b).sum(-1)[None, :]


def unit(x: Array, eps: float = 1e-12) -> Array:
    """Rows of x [..., D] scaled to length one; a zero row stays zero, with a finite gradient."""
    # The maximum is inside the root, whose derivative at zero is infinite
    return x * jnp.reciprocal(jnp.sqrt(jnp.maximum((x * x).sum(-1, keepdims=True), eps)))


def cosine(a: Array, b: Array) -> Array:
    """Pairwise cosine similarities [A,B] of rows a [A,D] and b [B,D]."""
    return unit(a) @ unit(b).T
