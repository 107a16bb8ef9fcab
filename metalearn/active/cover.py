"""Images whose neighbourhoods cover most of a pool (Yehuda, Dekel, Hacohen & Weinshall 2022)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from metalearn.active.kmeans import k_means
from metalearn.active.pool import ROWS, Pool, best, nearest_of, part_of
from metalearn.types import Array, Key

PURE = 0.95  # share of neighbourhoods that should be of one class (section 4)
JUDGED = 2048  # images by which the radius is chosen
COUNTED = 64  # images whose neighbours are counted at once
FEW = 64  # images covered by a choice, up to which they are subtracted from all counts
LESS = 16  # of those, compared with all images at once
COVERED = 50_000  # images of a larger pool that are chosen from and covered: of N, N^2 are compared


class State(NamedTuple):
    """What is covered of N images, and what each would add.

    Attributes:
      base: int32 [N], neighbours that are not covered or only lately (`lately`).
      most: int32 [N], at most so many neighbours are not covered.
      exact: bool [N], whether it is as many.
      lately: bool [N], covered and still counted in `base`.
      spent: int32 [], images counted since then.
      uncovered: bool [N].
      free: bool [N].
    """

    base: Array
    most: Array
    exact: Array
    lately: Array
    spent: Array
    uncovered: Array
    free: Array


def prob_cover(key: Key, pool: Pool, k: int) -> Array:
    """ProbCover: greedily, the image in whose neighbourhood most images are not yet covered.

    A neighbourhood is all that is within a radius (Algorithm 1). Images that are labelled cover
    theirs. Once everything is covered the rest is drawn at random. No graph is kept, so memory is
    linear in the pool. Neighbours are counted once. Where a choice covers 64 images or fewer, those
    are subtracted from all counts. Where it covers more, counts are brought up to date for those
    images alone that may still be the best, as a count only falls (it is submodular, Minoux 1978).

    Deviation: of a pool of more than 50,000 images so many are drawn, free ones first; those are
    covered, and chosen from.
    """
    part = part_of(key, pool, max(COVERED, k))
    (choosing, drawing) = jax.random.split(key)
    least = least_cosine(choosing, part.pool)
    z = part.pool.z

    def step(state: State, key: Key) -> tuple[State, Array]:
        state = jax.lax.while_loop(
            lambda state: rivals(state).any(), lambda state: counted(state, z, least), state
        )
        place = best(key, state.most.astype(jnp.float32), state.free, 1)[0]
        new = (z @ z[place] >= least) & state.uncovered
        changed = jax.lax.cond(
            new.sum() <= FEW, lambda: less(state, z, new, least), lambda: put_off(state, new)
        )
        changed = changed._replace(
            uncovered=state.uncovered & ~new, free=state.free.at[place].set(False)
        )
        return changed, place

    uncovered = nearest_of(z, part.known) < least
    degrees = degrees_of(z, uncovered, least)
    none = jnp.zeros(len(z), bool)
    begin = State(degrees, degrees, ~none, none, jnp.int32(0), uncovered, part.pool.free)
    return part.rows[jax.lax.scan(step, begin, jax.random.split(drawing, k))[1]]


def less(state: State, z: Array, new: Array, least: Array) -> State:
    """All counts less the neighbours that a choice covered; exact ones stay exact.

    Args:
      state: before.
      z: [N,D].
      new: bool [N], what was covered.
      least: cosine of neighbours.
    """
    number = len(z)
    these = listed(new, LESS)

    def rows(i: Array, total: Array) -> Array:
        places = jax.lax.dynamic_slice_in_dim(these.places, i * LESS, LESS)
        near = (z[places] @ z.T >= least) & (places < number)[:, None]
        return total + near.sum(0)

    total = jax.lax.fori_loop(0, these.blocks, rows, jnp.zeros(number, jnp.int32))
    return state._replace(base=state.base - total, most=state.most - total)


def put_off(state: State, new: Array) -> State:
    """Counts as they are, of which some are too many now, as images bool [N] were covered."""
    return state._replace(exact=state.most == 0, lately=state.lately | new)


def rivals(state: State) -> Array:
    """bool [N]: images that may be as good as the best one whose count is exact."""
    top = jnp.where(state.free & state.exact, state.most, -1).max()
    return state.free & ~state.exact & (state.most >= top)


def counted(state: State, z: Array, least: Array) -> State:
    """The most promising rivals counted; or all, if that takes no longer than what was spent."""
    waiting = rivals(state)
    number = len(z)

    def some() -> State:
        (most, rows) = jax.lax.top_k(jnp.where(waiting, state.most, -1), min(COUNTED, number))
        rows = jnp.where(most >= 0, rows, number)
        chosen = jnp.zeros(number, bool).at[rows].set(True, mode="drop")
        now = lowered(state.base, z, chosen, state.lately, least)
        most = jnp.where(chosen, now, state.most)
        spent = state.spent + chosen.sum()
        return state._replace(most=most, exact=state.exact | chosen | (most == 0), spent=spent)

    def every() -> State:
        base = lowered(state.base, z, state.free & (state.most > 0), state.lately, least)
        base = jnp.where(state.most > 0, base, 0)
        none = jnp.zeros(number, bool)
        return state._replace(base=base, most=base, exact=~none, lately=none, spent=jnp.int32(0))

    return jax.lax.cond(state.spent > number, every, some)


def least_cosine(key: Key, pool: Pool) -> Array:
    """The cosine at the largest radius at which 95 % of the neighbourhoods are pure.

    Classes are guessed by k-means, with as many clusters as classes (section 4.1). A neighbourhood
    is pure as long as the nearest image of another cluster is outside, so the radius is a quantile
    of the distances from that image. Of 2,048 images drawn at random.
    """
    (clustering, drawing) = jax.random.split(key)
    z = pool.z
    clusters = min(max(2, len(pool.counts)), len(z))
    of = k_means(clustering, z, clusters).of
    rows = jax.random.permutation(drawing, len(z))[:JUDGED]

    def nearest_other(row: Array) -> Array:
        return jnp.where(of == of[row], -1.0, z @ z[row]).max()

    others = jax.lax.map(nearest_other, rows, batch_size=COUNTED)
    return jnp.quantile(others, PURE)


class Listed(NamedTuple):
    """Some images of N, in blocks.

    Attributes:
      places: int32, their positions in order, N from where they end.
      blocks: int32 [], how many blocks hold one.
    """

    places: Array
    blocks: Array


def listed(some: Array, block: int) -> Listed:
    """Those of bool [N], in blocks of so many."""
    number = len(some)
    (places,) = jnp.nonzero(some, size=-(-number // block) * block, fill_value=number)
    return Listed(places.astype(jnp.int32), (some.sum() + block - 1) // block)


def degrees_of(z: Array, uncovered: Array, least: Array) -> Array:
    """int32 [N]: how many images that are not covered each one has in its neighbourhood.

    Images that are not covered come first; a block of them tells of both sides.
    """
    (number, _) = z.shape
    order = jnp.argsort(~uncovered, stable=True).astype(jnp.int32)
    block = min(ROWS, number)
    total = -(-number // block)
    order = jnp.pad(order, (0, total * block - number), constant_values=number)
    counted = jnp.arange(total * block) < uncovered.sum()
    blocks = (uncovered.sum() + block - 1) // block

    def own(array: Array, index: Array) -> Array:
        return jax.lax.dynamic_slice_in_dim(array, index * block, block)

    def rows(i: Array, degrees: Array) -> Array:
        x = z[own(order, i)]

        def others(j: Array, degrees: Array) -> Array:
            near = x @ z[own(order, j)].T >= least
            there = (near & own(counted, j)).sum(1)
            here = jnp.where(i == j, 0, (near & own(counted, i)[:, None]).sum(0))
            degrees = degrees.at[own(order, i)].add(there, mode="drop")
            return degrees.at[own(order, j)].add(here, mode="drop")

        return jax.lax.fori_loop(0, jnp.minimum(i + 1, blocks), others, degrees)

    return jax.lax.fori_loop(0, total, rows, jnp.zeros(number, jnp.int32))


def lowered(degrees: Array, z: Array, some: Array, covered: Array, least: Array) -> Array:
    """Degrees int32 [N], of some images less those of their neighbours that were covered.

    Args:
      degrees: int32 [N].
      z: [N,D].
      some: bool [N], those whose degrees are wanted.
      covered: bool [N].
      least: cosine of neighbours.
    """
    number = len(z)
    block = min(ROWS, number)
    these = listed(some, COUNTED)
    new = listed(covered, block)

    def columns(j: Array, degrees: Array) -> Array:
        others = jax.lax.dynamic_slice_in_dim(new.places, j * block, block)
        x = z[others]

        def rows(i: Array, degrees: Array) -> Array:
            places = jax.lax.dynamic_slice_in_dim(these.places, i * COUNTED, COUNTED)
            near = (z[places] @ x.T >= least) & (others < number)
            return degrees.at[places].add(-near.sum(1), mode="drop")

        return jax.lax.fori_loop(0, these.blocks, rows, degrees)

    return jax.lax.fori_loop(0, new.blocks, columns, degrees)
