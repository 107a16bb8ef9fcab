"""A probe: whether predictions depend on the other queries."""

import jax
import jax.numpy as jnp

from metalearn.types import Learner, PyTree, Task, random_key


def is_transductive(learner: Learner, meta: PyTree, task: Task) -> bool:
    """Whether predictions depend on the other queries of the episode.

    The first five queries are predicted together with all others, and each alone.
    """
    predict = jax.jit(learner.predict)
    adapted = jax.jit(learner.adapt)(random_key(0), meta, task.support_x, task.support_y)
    together = predict(meta, adapted, task.query_x)[:5]
    alone = jnp.concatenate([predict(meta, adapted, x[None]) for x in task.query_x[:5]])
    # A tolerance for float32: products of one query and of many are not summed in the same order
    scale = 1e-3 * float(jnp.abs(together).max()) + 1e-6
    return bool(jnp.abs(together - alone).max() > scale)
