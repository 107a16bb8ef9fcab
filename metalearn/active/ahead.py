"""Greedy choices, each of which depends on those before, with fewer passes over a pool."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from metalearn.types import Array, PyTree

AHEAD = 16  # images compared with a pool at once; it is read as often for one


def greedy(
    likely: Callable[[PyTree, Array], Array],
    choose: Callable[[PyTree, Array], Array],
    columns: Callable[[Array], Array],
    take: Callable[[PyTree, Array, Array], PyTree],
    state: PyTree,
    steps: int,
) -> Array:
    """Positions int32 [k], chosen one after the other.

    A choice costs a comparison of the pool with it. So some that are likely to come are compared
    together with each that has not been; which are chosen does not depend on what is likely.

    Args:
      likely: `(state, step) -> int32 [A]`, positions, the first of them the next choice.
      choose: `(state, step) -> int32 []`, the next choice.
      columns: `int32 [A] -> [A,N]`, how the images of a pool compare with some.
      take: `(state, position, [N]) -> state` after a choice, given its comparison.
      state: to begin with.
      steps: k.
    """

    def step(carry: tuple[PyTree, Array, Array], number: Array) -> tuple[tuple, Array]:
        (state, known, compared) = carry
        place = choose(state, number)

        def renew() -> tuple[Array, Array]:
            places = likely(state, number).at[0].set(place)
            return places, columns(places)

        def keep() -> tuple[Array, Array]:
            return known, compared

        (known, compared) = jax.lax.cond((known == place).any(), keep, renew)
        column = compared[(known == place).argmax()]
        return (take(state, place, column), known, compared), place

    places = jax.eval_shape(likely, state, jnp.int32(0))
    shapes = jax.eval_shape(columns, places)
    nothing = (jnp.full(places.shape, -1, jnp.int32), jnp.zeros(shapes.shape, shapes.dtype))
    return jax.lax.scan(step, (state, *nothing), jnp.arange(steps))[1]
