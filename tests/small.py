"""Small things that tests share: a tiny network, easy tasks, a source of noise."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.base import Array, ClassSource, Key, Network, Task
from metalearn.models import as_network
from metalearn.models.conv4 import Conv4

SIDE = 8
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})  # compiles in half the time


def tiny_network(norm: str = "batch", **kw: object) -> Network:
    """Two convolutional blocks of four filters."""
    return as_network(Conv4(widths=(4, 4), norm=norm, **kw))


def prepare(x: Array) -> Array:
    """uint8 images -> float32 about zero."""
    return x.astype(jnp.float32) / 128 - 1


def easy_task(key: Key, ways: int, shots: int, queries: int, noise: float = 0.3, side: int = SIDE) -> Task:
    """Images of each class are one random pattern of its own, plus noise."""
    pattern_key, noise_key = jax.random.split(key)
    patterns = jax.random.normal(pattern_key, (ways, 1, side, side, 1))
    x = patterns + noise * jax.random.normal(noise_key, (ways, shots + queries, side, side, 1))
    y = jnp.broadcast_to(jnp.arange(ways)[:, None], x.shape[:2])
    flat = lambda a: a.reshape(-1, *a.shape[2:])  # noqa: E731
    return Task(flat(x[:, :shots]), flat(y[:, :shots]), flat(x[:, shots:]), flat(y[:, shots:]))


def noise_source(counts: tuple[int, ...], side: int = SIDE, channels: int = 1, seed: int = 0) -> ClassSource:
    """Random pixels: nothing tells the classes apart."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (sum(counts), side, side, channels), np.uint8)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int32)
    return ClassSource(jnp.asarray(images), jnp.asarray(starts), jnp.asarray(counts, jnp.int32))
