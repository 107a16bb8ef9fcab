"""Choices evened out over classes."""

import jax
import jax.numpy as jnp

from metalearn.types import Array


def evened(order: Array, guesses: Array, counts: Array, k: int) -> Array:
    """The first k choices, each class counting its labelled images first, int32 [k].

    A choice that is the n-th of its class (labelled images counted) comes after all that are less
    than the n-th of theirs; among equals the order stays. So classes with few labels catch up.

    Args:
      order: int32 [M], choices, the first one first.
      guesses: int [M], the class that each is taken for.
      counts: int [C], labelled images of each class.
      k: how many are wanted, at most M.
    """
    of_class = jax.nn.one_hot(guesses, len(counts), dtype=jnp.int32)
    earlier = jnp.cumsum(of_class, 0) - of_class
    place = jnp.take_along_axis(earlier + counts, guesses[:, None], 1)[:, 0]
    return order[jnp.argsort(place, stable=True)[:k]].astype(jnp.int32)
