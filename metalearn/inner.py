"""The differentiable inner loop; the only place that differentiates an optimiser."""

from collections.abc import Callable

import jax
import optax

from metalearn.base import Array, PyTree


def descend(
    loss: Callable[[PyTree], Array],
    params: PyTree,
    optimizer: optax.GradientTransformation,
    steps: int,
    first_order: bool = False,
) -> PyTree:
    """params after `steps` updates of the optimizer on loss(params), differentiable in the params it starts from.

    Each step is rematerialised in the backward pass, so that memory does not grow with `steps` by more than one copy
    of the params a step.

    First order takes the derivative of the result in params to be the identity (Finn et al. 2017, section 5.2),
    whatever the optimizer: the value is adapted, the gradient passes straight through.
    """
    start = jax.tree.map(jax.lax.stop_gradient, params) if first_order else params

    def step(carry: tuple[PyTree, PyTree], _: None) -> tuple[tuple[PyTree, PyTree], None]:
        current, state = carry
        updates, state = optimizer.update(jax.grad(loss)(current), state, current)
        return (optax.apply_updates(current, updates), state), None

    step = jax.checkpoint(step, prevent_cse=False)
    (adapted, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), length=steps)
    if not first_order:
        return adapted
    return jax.tree.map(lambda p, a: p + jax.lax.stop_gradient(a - p), params, adapted)
