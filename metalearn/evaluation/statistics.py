"""Running statistics of batch normalisation, measured on batches drawn as in training."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.data.host import fetched, taken
from metalearn.data.sampler import Sampler
from metalearn.types import Array, Batch, ClassSource, Key, PyTree, Task, random_key

LEAST_BATCHES = 16  # that running statistics are measured on,
LEAST_IMAGES = 4096  # and images of all of them


def running_statistics(
    measure: Callable[..., PyTree] | None,
    source: ClassSource,
    sampler: Sampler,
    seed: int = 0,
    known: PyTree | None = None,
) -> Callable[[PyTree], PyTree]:
    """`meta -> meta` with the running statistics of training, where any are used.

    They are measured on batches drawn exactly as in training, augmented and turned: a network whose
    statistics are of clean images is not the one that was trained. Each batch is normalised by its
    own moments in the layers before, as in training, and at least 4,096 images are seen; the
    variance adds that between the batches to that within (Wu & Johnson 2021, "Rethinking Batch in
    BatchNorm"). Deviation: dropout is off, as at test.

    Args:
      measure: `(meta, x, known) -> moments` of what is tested, as in `Learner`; None where it uses
        none.
      source: the training split, on the device or on the host.
      sampler: what draws its training batches.
      seed: of the batches.
      known: running statistics of the body's layers, if they are not to be measured: those that a
        pre-trained body came with. Only its features' are, then.
    """
    if measure is None:
        return lambda meta: meta
    starts = jnp.asarray(source.starts)
    counts = jnp.asarray(source.counts)

    def rows_of(key: Key) -> Array:
        return sampler.rows(key, starts, counts).reshape(-1)

    size = len(jax.eval_shape(rows_of, random_key(seed)))
    keys = jax.random.split(random_key(seed), batches_of(size))
    rows = np.asarray(jax.jit(jax.vmap(rows_of))(keys))

    @jax.jit
    def run(meta: PyTree, found: Array, images: Array | None) -> PyTree:
        def of_batch(part: tuple[Array, Array]) -> PyTree:
            key, rows = part
            batch = sampler.make(key, ClassSource(taken(rows, images), starts, counts))
            return measure(meta, images_of(batch), known)

        return pool_moments(jax.lax.map(of_batch, (keys, found)))

    def measured(meta: PyTree) -> PyTree:
        moments = run(meta, *fetched(source.images, rows))
        # To the bit: means of equal numbers may be rounded
        kept = {} if known is None else {"body": known}
        return meta | {"moments": moments | kept}

    return measured


def batches_of(size: int) -> int:
    """How many batches of this size running statistics are measured on."""
    return max(LEAST_BATCHES, -(-LEAST_IMAGES // size))


def images_of(batch: Task | Batch) -> Array:
    """The images of a batch that are normalised together in training: all of them."""
    return (
        batch.x if isinstance(batch, Batch) else jnp.concatenate([batch.support_x, batch.query_x])
    )


def pool_moments(stacked: PyTree) -> PyTree:
    """Moments {mean, var} over several equal batches, from those of each, stacked along axis 0."""
    if "mean" not in stacked:
        return {k: pool_moments(v) for k, v in stacked.items()}
    mean = stacked["mean"].mean(0)
    return {"mean": mean, "var": stacked["var"].mean(0) + stacked["mean"].var(0)}
