"""Images that stand for a pool: each image is near to one of them (Wei, Iyer & Bilmes 2015)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from metalearn.active.pool import Part, Pool, in_blocks, nearest_of, part_of, random
from metalearn.types import Array, Key

FILLED = 256  # rows of similarities that are computed at once
COUNTED = 16  # images whose gains are brought up to date at once
SERVED = 10_000  # images of a larger pool that are chosen from and served: of N, N^2 are compared


class State(NamedTuple):
    """What is chosen of N images, and what each would add.

    Attributes:
      served: [N], similarity of each to the nearest labelled or chosen one.
      gains: [N], at most so much each would add.
      exact: bool [N], whether it is as much.
      free: bool [N].
    """

    served: Array
    gains: Array
    exact: Array
    free: Array


def facility_location(key: Key, pool: Pool, k: int) -> Array:
    """Greedily, the image that adds most to how well labelled and chosen images serve the pool.

    An image is served by the one that is most similar to it; a pool by the sum over its images
    (the facility location function of Wei et al.; whatever a head says of them). Similarity is the
    square of a positive cosine, and 0 of another, so that near images count most. What an image
    adds only falls (the sum is submodular), so it is computed anew for those alone that may still
    be the best (Minoux 1978).

    Deviation: of a pool of more than 10,000 images so many are drawn, free ones first; those are
    served, and chosen from. So no more similarities than theirs are in memory. What is asked for
    beyond them is drawn at random.
    """
    part = part_of(key, pool, SERVED)
    number = min(k, len(part.rows))
    found = part.rows[_serving(part, number)]
    if number == k:
        return found
    left = pool.free.at[found].set(False)
    return jnp.concatenate([found, random(key, pool._replace(free=left), k - number)])


def _serving(part: Part, k: int) -> Array:
    """Positions int32 [k] in a part of a pool; free ones as long as there are some."""
    z = part.pool.z
    served = similar(nearest_of(z, part.known))

    def compared(x: Array) -> tuple[Array, Array]:
        similarities = similar(x @ z.T)
        return similarities, jnp.maximum(similarities - served, 0).sum(1)

    def step(state: State, number: Array) -> tuple[State, Array]:
        del number
        state = jax.lax.while_loop(
            lambda state: rivals(state).any(), lambda state: counted(state, similarities), state
        )
        place = jnp.where(state.free, state.gains, -1).argmax()
        changed = State(
            served=jnp.maximum(state.served, similarities[place]),
            gains=state.gains,
            exact=state.gains <= 0,
            free=state.free.at[place].set(False),
        )
        return changed, place

    (similarities, gains) = in_blocks(compared, z, FILLED)
    begin = State(served, gains, jnp.ones(len(z), bool), part.pool.free)
    return jax.lax.scan(step, begin, jnp.arange(k))[1]


def similar(cosines: Array) -> Array:
    """How well images of such cosines serve each other."""
    return jnp.square(jnp.maximum(cosines, 0))


def rivals(state: State) -> Array:
    """bool [N]: images that may be better than the best one whose gain is exact."""
    top = jnp.where(state.free & state.exact, state.gains, -1).max()
    return state.free & ~state.exact & (state.gains > top)


def counted(state: State, similarities: Array) -> State:
    """The gains of the most promising rivals, brought up to date.

    Args:
      state: before.
      similarities: [N,N].
    """
    waiting = jnp.where(rivals(state), state.gains, -1)
    rows = jax.lax.top_k(waiting, min(COUNTED, len(waiting)))[1]
    gains = jnp.maximum(similarities[rows] - state.served, 0).sum(1)
    return state._replace(
        gains=state.gains.at[rows].set(gains), exact=state.exact.at[rows].set(True)
    )
