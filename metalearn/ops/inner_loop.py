"""The differentiable inner loop; the only place that differentiates an optimiser."""

from collections.abc import Callable

import jax
import optax

from metalearn.types import Array, PyTree

UNROLLED = 5  # inner steps, at most, that are unrolled on an accelerator


def descend(
    loss: Callable[[PyTree], Array] | tuple[Callable[[PyTree], Array], ...],
    params: PyTree,
    optimizer: optax.GradientTransformation,
    steps: int,
    first_order: bool = False,
) -> PyTree:
    """params after `steps` updates of the optimizer on loss(params), differentiable in params.

    Each step is rematerialised in the backward pass: memory grows by the params and the optimizer's
    state a step, not by activations. A few steps on an accelerator are unrolled and keep their
    activations: time there goes with the number of kernels, to which a loop and a second forward
    pass would add.

    Args:
      loss: of the params; of several, each step makes an update on every one, in turn, with one
        state of the optimizer.
      params: the initial parameters.
      optimizer: of the inner loop.
      steps: J.
      first_order: take the derivative of the result in params to be the identity (Finn et al. 2017,
        section 5.2), whatever the optimizer.

    Example: each step of size 0.25 halves the distance to the minimum of (x - 1)^2, so three steps
    from 0 end at 1 - 1/8, and the end moves by 1/8 of what the start moves.

        >>> import jax, jax.numpy as jnp, optax
        >>> from metalearn.ops.inner_loop import descend
        >>> def adapted(start):
        ...     return descend(lambda x: (x - 1) ** 2, start, optax.sgd(0.25), steps=3)
        >>> start = jnp.float32(0)
        >>> float(adapted(start)), float(jax.grad(adapted)(start))
        (0.875, 0.125)
    """
    losses = loss if isinstance(loss, tuple) else (loss,)
    # In first order nothing within the loop is to be differentiated once more
    start = jax.tree.map(jax.lax.stop_gradient, params) if first_order else params

    def step(carry: tuple[PyTree, PyTree], _: None) -> tuple[tuple[PyTree, PyTree], None]:
        current, state = carry
        for value in losses:
            updates, state = optimizer.update(jax.grad(value)(current), state, current)
            current = optax.apply_updates(current, updates)
        return (current, state), None

    few = steps <= UNROLLED and jax.default_backend() != "cpu"
    if not few:
        # Forward and backward pass are two loops, between which XLA shares nothing anyway
        step = jax.checkpoint(step, prevent_cse=False)
    begin = start, optimizer.init(start)
    (adapted, _), _ = jax.lax.scan(step, begin, length=steps, unroll=few)
    if not first_order:
        return adapted

    def straight_through(initial: Array, final: Array) -> Array:
        """Has the value of `final` and the derivative of `initial`."""
        return initial + jax.lax.stop_gradient(final - initial)

    return jax.tree.map(straight_through, params, adapted)


def learned_sgd(rates: PyTree) -> optax.GradientTransformation:
    """Gradient descent with a step size for every parameter, differentiable in these rates."""

    def updates(grads: PyTree, params: PyTree) -> PyTree:
        return jax.tree.map(lambda rate, g: -rate * g, rates, grads)

    return optax.stateless(updates)
