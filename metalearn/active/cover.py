"""Images whose neighbourhoods cover most of a pool (Yehuda, Dekel, Hacohen & Weinshall 2022)."""

import jax
import jax.numpy as jnp

from metalearn.active.kmeans import k_means
from metalearn.active.pool import ROWS, Pool, best
from metalearn.types import Array, Key

PURE = 0.95  # share of neighbourhoods that should be of one class (section 4)
JUDGED = 2048  # images by which the radius is chosen
COVERED = 16  # images whose neighbours are found at once, as they are covered


def prob_cover(key: Key, pool: Pool, k: int) -> Array:
    """ProbCover: greedily, the image in whose neighbourhood most images are not yet covered.

    A neighbourhood is all that is within a radius (Algorithm 1). Images that are labelled cover
    theirs. Once everything is covered the rest is drawn at random. No graph is kept: neighbours are
    found anew when they are covered, so memory is linear in the pool, and time at most that of
    comparing all images twice.
    """
    (choosing, drawing) = jax.random.split(key)
    least = least_cosine(choosing, pool)
    z = pool.z
    number = len(z)

    def uncover(degrees: Array, uncovered: Array, covered: Array) -> tuple[Array, Array]:
        """Take images, bool [N], out of what is left to be covered, and of all degrees."""

        def more(state: tuple[Array, Array]) -> Array:
            return state[1].any()

        def some(state: tuple[Array, Array]) -> tuple[Array, Array]:
            (degrees, left) = state
            (rows,) = jnp.nonzero(left, size=COVERED, fill_value=number)
            real = rows < number
            near = (z @ z[jnp.minimum(rows, number - 1)].T >= least) & real
            return degrees - near.sum(1), left.at[rows].set(False, mode="drop")

        new = covered & uncovered
        return jax.lax.while_loop(more, some, (degrees, new))[0], uncovered & ~covered

    def step(carry: tuple[Array, Array, Array], key: Key) -> tuple[tuple, Array]:
        (degrees, uncovered, free) = carry
        place = best(key, degrees.astype(jnp.float32), free, 1)[0]
        covered = z @ z[place] >= least
        (degrees, uncovered) = uncover(degrees, uncovered, covered)
        return (degrees, uncovered, free.at[place].set(False)), place

    everything = jnp.ones(number, bool)
    degrees = degrees_of(z, everything, least)
    known = covered_by(z, pool.labelled, least)
    (degrees, uncovered) = uncover(degrees, everything, known)
    carry = (degrees, uncovered, pool.free)
    return jax.lax.scan(step, carry, jax.random.split(drawing, k))[1]


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

    others = jax.lax.map(nearest_other, rows, batch_size=COVERED)
    return jnp.quantile(others, PURE)


def degrees_of(z: Array, uncovered: Array, least: Array) -> Array:
    """int32 [N]: how many images that are not covered each one has in its neighbourhood."""

    def degree(x: Array) -> Array:
        return ((z @ x >= least) & uncovered).sum()

    return jax.lax.map(degree, z, batch_size=ROWS)


def covered_by(z: Array, rows: Array, least: Array) -> Array:
    """bool [N]: whether an image is in the neighbourhood of one of these, int [L]."""

    def covering(covered: Array, row: Array) -> tuple[Array, None]:
        return covered | (z @ z[row] >= least), None

    return jax.lax.scan(covering, jnp.zeros(len(z), bool), rows)[0]
