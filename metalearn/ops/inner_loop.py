"""The differentiable inner loop; the only place that differentiates an optimiser."""

from collections.abc import Callable

import jax
import optax

from metalearn.types import Array, PyTree

UNROLLED = 5  # steps, at most, that an accelerator takes one after the other in the program itself


def descend(
    loss: Callable[[PyTree], Array] | tuple[Callable[[PyTree], Array], ...],
    params: PyTree,
    optimizer: optax.GradientTransformation,
    steps: int,
    first_order: bool = False,
) -> PyTree:
    """params after `steps` updates of the optimizer on loss(params), differentiable in the params
    it starts from.

    With several losses a step makes an update on each, one after the other, with one state of the
    optimizer.

    Each step is rematerialised in the backward pass, so that memory does not grow with `steps` by
    more than one copy of the params a step. Not so for a few steps on an accelerator: there the
    number of kernels decides, to which a loop adds, and a second forward pass; and memory is ample.

    First order takes the derivative of the result in params to be the identity (Finn et al. 2017,
    section 5.2), whatever the optimizer: the value is adapted, the gradient passes straight
    through.
    """
    losses = loss if isinstance(loss, tuple) else (loss,)
    start = jax.tree.map(jax.lax.stop_gradient, params) if first_order else params

    def step(carry: tuple[PyTree, PyTree], _: None) -> tuple[tuple[PyTree, PyTree], None]:
        current, state = carry
        for value in losses:
            updates, state = optimizer.update(jax.grad(value)(current), state, current)
            current = optax.apply_updates(current, updates)
        return (current, state), None

    few = steps <= UNROLLED and jax.default_backend() != "cpu"
    if not few:
        step = jax.checkpoint(step, prevent_cse=False)
    begin = start, optimizer.init(start)
    (adapted, _), _ = jax.lax.scan(step, begin, length=steps, unroll=few)
    if not first_order:
        return adapted
    return jax.tree.map(lambda p, a: p + jax.lax.stop_gradient(a - p), params, adapted)


def learned_sgd(rates: PyTree) -> optax.GradientTransformation:
    """Gradient descent with a step size for every parameter, differentiable in these rates."""
    return optax.stateless(
        lambda grads, params: jax.tree.map(lambda rate, g: -rate * g, rates, grads)
    )
