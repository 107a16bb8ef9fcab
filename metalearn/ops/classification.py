"""Losses of classifying labelled images: smoothed, weighted by class, of mixed images."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metalearn.errors import UserError
from metalearn.types import Array, Batch


def squared(logits: Array, targets: Array) -> Array:
    """Sum over classes of (logits - targets)^2, [B] of [B,C]; the logits are the linear outputs.

    "MSE on one-hot" as in Hui & Belkin 2021, without their rescaling. Keras divides by C.
    """
    return jnp.square(logits - targets).sum(-1)


# Of logits [B,C] and targets [B,C], the loss of each image [B]
KINDS: dict[str, Callable[[Array, Array], Array]] = {
    "cross_entropy": optax.softmax_cross_entropy,
    "squared": squared,
}


def classification_loss(
    logits: Array,
    batch: Batch,
    kind: str = "cross_entropy",
    smoothing: float = 0.0,
    weights: Array | None = None,
) -> Array:
    """Mean loss of the batch's images; in nats for the cross-entropy.

    Of mixed images (`metalearn.data.mixup`) it is share * loss(y) + (1 - share) * loss(other).

    Args:
      logits: [B,C].
      batch: the images' labels; with `other` and `share` where they are mixed.
      kind: key of `KINDS`.
      smoothing: s, shared by all classes: the targets are (1 - s) one-hot + s / C (Szegedy et al.
        2016, section 7).
      weights: float32 [C], of each class, whose mean over all images is 1. Every image's loss is
        multiplied by its label's, and the mean is taken over the batch. PyTorch divides by the sum
        of the batch's weights instead, so that an image that is alone in its batch has the same
        weight whatever its class; and in its smoothing the share of another class has that class's
        weight.

    Raises:
      UserError: unknown kind.
    """
    if kind not in KINDS:
        raise UserError(f"unknown loss '{kind}': choose {' or '.join(KINDS)}")
    of_image = KINDS[kind]

    def mean_loss(labels: Array) -> Array:
        classes = logits.shape[-1]
        targets = optax.smooth_labels(jax.nn.one_hot(labels, classes), smoothing)
        losses = of_image(logits, targets)
        if weights is None:
            return losses.mean()
        return (weights[labels] * losses).mean()

    if batch.share is None:
        return mean_loss(batch.y)
    assert batch.other is not None
    return batch.share * mean_loss(batch.y) + (1 - batch.share) * mean_loss(batch.other)


def balanced_weights(counts: Array | np.ndarray) -> Array:
    """Weights float32 [C] of classes with these numbers of images [C]: M / (C * count).

    With them every class counts as much as any other, and the mean weight of the M images is 1
    where all classes have some ("balanced" of scikit-learn). A class without images has weight 0.
    """
    numbers = jnp.asarray(counts, jnp.float32)
    weights = numbers.sum() / (len(numbers) * jnp.maximum(numbers, 1))
    return jnp.where(numbers > 0, weights, 0)
