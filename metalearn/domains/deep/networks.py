"""Pieces of adversarial methods: gradients that turn, weights that rise, a small network."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from metalearn.types import Array, Key, PyTree

RISE = 10.0  # of the weight of reversed gradients, Ganin et al.'s gamma


@jax.custom_vjp
def reversed_gradient(x: Array, weight: Array) -> Array:
    """x as it is; its gradient times -weight (Ganin et al. 2016, equation 12).

    Example: a step that makes the result smaller makes what comes before it larger.

        >>> import jax
        >>> from metalearn.domains.deep.networks import reversed_gradient
        >>> float(jax.grad(lambda x: 3 * reversed_gradient(x, 0.5))(1.0))
        -1.5
    """
    return x


def _forward(x: Array, weight: Array) -> tuple[Array, Array]:
    return x, weight


def _backward(weight: Array, gradient: Array) -> tuple[Array, Array]:
    return -weight * gradient, jnp.zeros_like(weight)


reversed_gradient.defvjp(_forward, _backward)


def reversal_weight(progress: Array) -> Array:
    """2 / (1 + exp(-10 p)) - 1, from 0 to 1: features first become good for the source's classes.

    Args:
      progress: p, share of the updates that are done (Ganin et al. 2016, section 5.2.2).
    """
    return 2 / (1 + jnp.exp(-RISE * progress)) - 1


def init_layers(key: Key, widths: Sequence[int]) -> PyTree:
    """Weights of a network of dense layers, by He et al. 2015; biases of zero.

    Args:
      key: random.
      widths: of the input, of each hidden layer and of the output.
    """
    keys = jax.random.split(key, len(widths) - 1)
    init = jax.nn.initializers.he_normal()
    return {
        f"layer{i}": {"w": init(keys[i], (widths[i], width), jnp.float32), "b": jnp.zeros(width)}
        for i, width in enumerate(widths[1:])
    }


def layers(params: PyTree, x: Array) -> Array:
    """Outputs [B,O] of x [B,D]; ReLU after each layer but the last."""
    for i in range(len(params)):
        layer = params[f"layer{i}"]
        x = x @ layer["w"] + layer["b"]
        x = jax.nn.relu(x) if i + 1 < len(params) else x
    return x
