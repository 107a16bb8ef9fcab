"""Active learning where all labels are known: what each round would have been worth."""

import time
from collections.abc import Callable, Sequence
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.active.images import Fit, Images
from metalearn.active.pool import Pool, Strategy
from metalearn.active.trial import Asked, Round, Rules, Trial, seen_of
from metalearn.types import Array, Key

Pick = Callable[[Key, Pool, int], Array]


def simulate(
    strategy: Strategy, images: Images, rules: Rules, fit: Fit, seeds: Sequence[int]
) -> list[list[Round]]:
    """The rounds of each seed, from zero labels; every head is fitted from its start.

    All seeds choose in one program; their heads are fitted one after the other. On a CPU one
    program is slower than one a seed for all strategies but those that only score images.

    Args:
      strategy: that chooses.
      images: features and labels.
      rules: how labels are asked for.
      fit: a head to labelled images.
      seeds: each draws a pool, and all that the strategy draws.

    Raises:
      UserError: fewer images than labels.
    """
    whole = None if rules.pool else seen_of(images)
    trials = [
        Trial(strategy, whole or seen_of(images.drawn(rules.pool, seed)), rules, fit, seed)
        for seed in seeds
    ]
    for _ in rules.budgets:
        asking = [trial for trial in trials if not trial.ended]
        resting = [trial for trial in trials if trial.ended]
        begin = time.perf_counter()
        found = chosen(strategy.pick, [trial.asks() for trial in asking])
        seconds = (time.perf_counter() - begin) / max(1, len(asking))
        for trial, order in zip(asking, found, strict=True):
            trial.learns(order, seconds)
        for trial in resting:
            trial.rests()
    return [trial.rounds for trial in trials]


def chosen(pick: Pick, asked: Sequence[Asked]) -> list[np.ndarray]:
    """Positions int32 [k] for each of some seeds, by one program where they ask for equally many.

    Args:
      pick: of a strategy.
      asked: by each seed, of pools of one size.
    """
    if len(asked) == 1 or len({one.k for one in asked}) > 1:
        return [np.asarray(compiled(pick)(*one)) for one in asked]
    if not asked:
        return []
    pools = [one.pool for one in asked]
    same = all(pool.z is pools[0].z for pool in pools)
    if same:  # It is not copied
        pools = [pool._replace(z=pool.z[:0]) for pool in pools]
    stacked = jax.tree.map(lambda *arrays: jnp.stack(arrays), *pools)
    if same:
        stacked = stacked._replace(z=asked[0].pool.z)
    keys = jnp.stack([one.key for one in asked])
    return list(np.asarray(together(pick, same)(keys, stacked, asked[0].k)))


@cache
def compiled(pick: Pick) -> Pick:
    """A strategy's function, compiled once for all seeds."""
    return jax.jit(pick, static_argnums=2)


@cache
def together(pick: Pick, same: bool) -> Pick:
    """A strategy's function of several seeds [S] and their pools, compiled; positions [S,k].

    Args:
      pick: of a strategy.
      same: whether all choose from the same features [N,D], which are not stacked.
    """

    def picks(keys: Key, pools: Pool, k: int) -> Array:
        def of_one(key: Key, z: Array, rest: Pool) -> Array:
            return pick(key, rest._replace(z=z), k)

        rest = pools._replace(z=jnp.zeros(len(keys)))
        return jax.vmap(of_one, (0, None if same else 0, 0))(keys, pools.z, rest)

    return jax.jit(picks, static_argnums=2)
