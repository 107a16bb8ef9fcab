"""Versions, the device, and whether convolutions are right: `python -m benchmarks.lease.sanity`.

Every form of a convolution that training takes, in float32, tf32 and bfloat16, against NumPy in
float64.
"""

import importlib.metadata
import sys
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.models.conv import conv
from metalearn.types import Array

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "torch")
LIMITS = {"float32": 1e-5, "tensorfloat32": 2e-3, "bfloat16": 1e-2}  # relative difference


def versions() -> dict[str, str]:
    """Versions of the packages that are installed."""
    there = {found.name for found in importlib.metadata.distributions()}
    return {name: importlib.metadata.version(name) for name in PACKAGES if name in there}


def expected(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The convolution in float64."""
    height, width = x.shape[1:3]
    padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    places = [(i, j) for i in range(3) for j in range(3)]
    return sum(
        (padded[:, i : i + height, j : j + width] @ w[i, j].astype(np.float64) for i, j in places),
        np.zeros(()),
    )


def forms(dtype: jnp.dtype) -> dict[str, Callable[[Array, Array], Array]]:
    """Forms of a convolution, by name."""

    def patches(x: Array, w: Array) -> Array:
        return conv(x, w, dtype=dtype)

    def native(x: Array, w: Array) -> Array:
        return conv(x, w, dtype=dtype, shared=True)

    def each(x: Array, w: Array) -> Array:
        kernels = jnp.repeat(w[None], len(x), 0)
        return jax.vmap(lambda image, kernel: patches(image[None], kernel)[0])(x, kernels)

    return {"patches": patches, "native": native, "a kernel each": each}


def main() -> int:
    """Check every form; the number of those that are wrong."""
    begin = time.perf_counter()
    print(versions(), jax.devices(), f"{time.perf_counter() - begin:.1f} s", flush=True)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 16, 16, 64)).astype(np.float32)
    w = rng.normal(size=(3, 3, 64, 64)).astype(np.float32)
    right = expected(x, w)
    wrong = 0
    for precision, limit in LIMITS.items():
        low = precision == "bfloat16"
        jax.config.update("jax_default_matmul_precision", None if low else precision)
        for name, form in forms(jnp.bfloat16 if low else jnp.float32).items():
            begin = time.perf_counter()
            found = np.asarray(jax.jit(form)(x, w), np.float64)
            apart = np.linalg.norm(found - right) / np.linalg.norm(right)
            wrong += not apart < limit
            word = "ok" if apart < limit else "WRONG"
            seconds = time.perf_counter() - begin
            print(f"{precision:14s} {name:14s} {apart:.1e} {word} {seconds:.1f} s", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(), 1))
