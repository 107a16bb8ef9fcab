"""Small things that tests share: a tiny network, easy tasks, a source of noise."""

from collections.abc import Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr, JaxprEqn, jaxprs_in_params

from metalearn.models import as_network
from metalearn.models.conv4 import Conv4
from metalearn.types import Array, ClassSource, Key, Learner, Network, PyTree, Task

SIDE = 8
FEW = (64, 4)  # images and batches that tests measure running statistics on
# First in a process of its own, whose numbers are compared with those of this one
MEASURE_FEW = f"""
import metalearn.evaluation.statistics as measured
measured.LEAST_IMAGES, measured.LEAST_BATCHES = {FEW}
"""
# Compiles in half the time
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def tiny_network(norm: str = "batch", **kw: object) -> Network:
    """Two convolutional blocks of four filters."""
    return as_network(Conv4(widths=(4, 4), norm=norm, **kw))


def prepare(x: Array) -> Array:
    """uint8 images -> float32 about zero."""
    return x.astype(jnp.float32) / 128 - 1


def easy_task(
    key: Key, ways: int, shots: int, queries: int, noise: float = 0.3, side: int = SIDE
) -> Task:
    """Images of each class are one random pattern of its own, plus noise."""
    pattern_key, noise_key = jax.random.split(key)
    patterns = jax.random.normal(pattern_key, (ways, 1, side, side, 1))
    x = patterns + noise * jax.random.normal(noise_key, (ways, shots + queries, side, side, 1))
    y = jnp.broadcast_to(jnp.arange(ways)[:, None], x.shape[:2])

    def flat(a):
        return a.reshape(-1, *a.shape[2:])

    return Task(flat(x[:, :shots]), flat(y[:, :shots]), flat(x[:, shots:]), flat(y[:, shots:]))


def noise_source(
    counts: tuple[int, ...], side: int = SIDE, channels: int = 1, seed: int = 0
) -> ClassSource:
    """Random pixels: nothing tells the classes apart."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (sum(counts), side, side, channels), np.uint8)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int32)
    return ClassSource(jnp.asarray(images), jnp.asarray(starts), jnp.asarray(counts, jnp.int32))


def smooth_network() -> Network:
    """One layer of tanh, infinitely differentiable; images [B,2,2,1] -> features [B,3]."""
    return Network(
        init=lambda key, x: {"w": jax.random.normal(key, (4, 3))},
        apply=lambda params, x, moments=None, key=None: jnp.tanh(
            x.reshape(len(x), -1) @ params["w"]
        ),
        moments=lambda params, x: {},
    )


def smooth_task() -> Task:
    """Two classes of two images in float64."""
    keys = jax.random.split(jax.random.key(1))
    x = [jax.random.normal(k, (4, 2, 2, 1), jnp.float64) for k in keys]
    return Task(x[0], jnp.array([0, 1, 0, 1]), x[1], jnp.array([1, 0, 0, 1]))


def smooth_start(learner: Learner) -> PyTree:
    """Meta-parameters of the learner in float64, none of them zero."""
    meta = learner.init(jax.random.key(2), jnp.zeros((1, 2, 2, 1)))
    return jax.tree.map(lambda p: jnp.asarray(p, jnp.float64) + 0.1, meta)


def operations(jaxpr: Jaxpr) -> Iterator[JaxprEqn]:
    """All of a traced program, those within its loops and calls too."""
    for operation in jaxpr.eqns:
        yield operation
        for inner in jaxprs_in_params(operation.params):
            yield from operations(inner)
