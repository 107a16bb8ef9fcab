"""Last layers: linear, and the cosine classifier of Baseline++."""

import jax
import jax.numpy as jnp

from metalearn.ops.losses import cosine
from metalearn.types import Array, Key, PyTree

KINDS = ("linear", "cosine")


def init_classifier(
    key: Key, kind: str, features: int, outputs: int, initial: str = "default"
) -> PyTree:
    """Initial parameters: weights w [D,N], and biases b [N] (linear) or lengths g [N] (cosine).

    Args:
      key: for the weights, and the biases where they are random.
      kind: `linear`, or anything else for `cosine`.
      features: D.
      outputs: N.
      initial: `default` (weights of variance 1/D, biases of zero), or anything else for PyTorch's:
        weights and biases from U(-1/sqrt(D), 1/sqrt(D)).
    """
    if initial == "default":
        w = jax.nn.initializers.lecun_normal()(key, (features, outputs), jnp.float32)
        b = jnp.zeros(outputs)
    else:
        w_key, b_key = jax.random.split(key)
        bound = features**-0.5
        w = jax.random.uniform(w_key, (features, outputs), minval=-bound, maxval=bound)
        b = jax.random.uniform(b_key, (outputs,), minval=-bound, maxval=bound)
    # The cosine classifier has no bias: its logits depend on directions alone
    return {"w": w, "b": b} if kind == "linear" else {"w": w, "g": jnp.ones(outputs)}


def classify(kind: str, params: PyTree, z: Array, scale: float = 1.0) -> Array:
    """Logits [B,N] of z [B,D].

    `linear` is z w + b. `cosine` is scale * g * cos(z, w), the weight-normalised layer of Chen et
    al. 2019, section 3.2. Their released code learns the lengths g and multiplies by 2 (up to 200
    classes) or 10.

    Args:
      kind: `linear`, or anything else for `cosine`.
      params: as `init_classifier` makes them.
      z: features.
      scale: of the cosine classifier's logits.
    """
    if kind == "linear":
        return z @ params["w"] + params["b"]
    # A cosine is at most 1: without a scale the softmax could not come near certainty
    return scale * params["g"] * cosine(z, params["w"].T)
