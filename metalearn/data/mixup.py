"""Mixup: training on weighted means of two images each."""

import jax
import jax.numpy as jnp

from metalearn.errors import UserError
from metalearn.types import Batch, Key


def mixup(key: Key, batch: Batch, alpha: float) -> Batch:
    """The batch with every image mixed with another one of it, by one share for all.

    Zhang et al. 2018, section 2, as in their released code: the share of an image itself is drawn
    from Beta(alpha, alpha), the other image by a random permutation of the batch. Labels are not
    mixed: `other` and `share` say what the loss is of, see `classification_loss`.

    Args:
      key: for the share and the permutation.
      batch: its images are standardised already, float32.
      alpha: above 0; shares are mostly near 0 or 1 where it is small, near 1/2 where it is large.

    Raises:
      UserError: alpha is not above 0, or the batch has what is of unmixed images alone.
    """
    if not alpha > 0:
        raise UserError(f"mixup draws from Beta(alpha, alpha): alpha must be above 0, not {alpha}")
    if batch.teacher is not None or batch.turns is not None:
        raise UserError(
            "mixup is of images that are neither turned nor seen by a teacher: choose one of them"
        )
    share_key, order_key = jax.random.split(key)
    share = jax.random.beta(share_key, alpha, alpha, dtype=jnp.float32)
    order = jax.random.permutation(order_key, len(batch.x))
    x = share * batch.x + (1 - share) * batch.x[order]
    return batch._replace(x=x, other=batch.y[order], share=share)
