"""Last layers: linear, and the cosine classifier of Baseline++."""

import jax
import jax.numpy as jnp

from metalearn.base import Array, Key, PyTree
from metalearn.losses import cosine

KINDS = ("linear", "cosine")


def init_classifier(key: Key, kind: str, features: int, outputs: int) -> PyTree:
    """Parameters of a classifier of z [B,D]: weights w [D,N], and biases b [N] (linear) or lengths g [N] (cosine)."""
    w = jax.nn.initializers.lecun_normal()(key, (features, outputs), jnp.float32)
    return {"w": w, "b": jnp.zeros(outputs)} if kind == "linear" else {"w": w, "g": jnp.ones(outputs)}


def classify(kind: str, params: PyTree, z: Array, scale: float = 1.0) -> Array:
    """Logits [B,N] of z [B,D].

    `linear` is z w + b. `cosine` is scale * g * cos(z, w), the weight-normalised layer of Chen et al. 2019, section
    3.2, whose released code learns the lengths g and multiplies by 2 (up to 200 classes) or 10.
    """
    if kind == "linear":
        return z @ params["w"] + params["b"]
    return scale * params["g"] * cosine(z, params["w"].T)
