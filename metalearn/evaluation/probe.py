"""A probe: whether predictions depend on the other queries."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from metalearn.types import Learner, PyTree, Task, random_key


def is_transductive(
    learner: Learner, meta: PyTree, task: Task, jit: Callable[..., Callable] = jax.jit
) -> bool:
    """Whether predictions depend on the other queries of the episode.

    Each of the first five queries is predicted together with all others, and with copies of itself
    in their places: one shape, so one program is compiled.

    Args:
      learner: to be looked at.
      meta: its meta-parameters.
      task: an episode.
      jit: what compiles its functions.
    """
    predict = jit(learner.predict)
    adapted = jit(learner.adapt)(random_key(0), meta, task.support_x, task.support_y)
    together = predict(meta, adapted, task.query_x)[:5]
    alone = jnp.stack(
        [
            predict(meta, adapted, jnp.broadcast_to(x, task.query_x.shape))[0]
            for x in task.query_x[:5]
        ]
    )
    # A tolerance for float32: a program may sum the products of another row in another order
    scale = 1e-3 * float(jnp.abs(together).max()) + 1e-6
    return bool(jnp.abs(together - alone).max() > scale)
