"""Which photographs of a folder to ask about next."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.active.auto import enough_labels, first_images
from metalearn.active.pool import Pool
from metalearn.active.registry import AUTO, STRATEGIES
from metalearn.active.simulation import Pick, compiled
from metalearn.errors import UserError
from metalearn.labelling.head import (
    Labelled,
    committee,
    fit_head,
    labelled_of,
    probabilities,
)
from metalearn.labelling.pool import Looked
from metalearn.labelling.state import Record, Round, State
from metalearn.personal.reading import said
from metalearn.types import random_key

TWO = 2  # classes at least, before any is known


class Wish(NamedTuple):
    """What is asked for.

    Attributes:
      number: photographs whose answers are awaited, those asked about before included; None for
        20, or as many as there are.
      strategy: key of `STRATEGIES`.
      classes: a guess of how many there are; 0 for those that were named so far.
      seed: of all that is drawn.
    """

    number: int | None
    strategy: str
    classes: int = 0
    seed: int = 0


USUAL = 20  # photographs of a round


def ask(state: State, looked: Looked, prior: float, wish: Wish) -> State:
    """The state once so many answers are awaited; no photograph is ever asked about twice.

    Left out are photographs that were answered or skipped, and those that hardly differ from one
    that was asked about.

    Args:
      state: before.
      looked: the photographs.
      prior: photographs that the mean of others counts as.
      wish: what is asked for.

    Raises:
      UserError: unknown strategy, or fewer photographs are left.
    """
    if wish.strategy not in STRATEGIES:
        known = ", ".join(STRATEGIES)
        raise UserError(f"unknown strategy '{wish.strategy}': choose one of {known}")
    free = free_of(state, looked)
    waiting = [digest for digest in state.open if digest in looked.place]
    new = _number(wish.number, len(waiting), int(free.sum()), looked)
    if not new:
        return state
    some = labelled_of(looked.z, looked.place, state.labelled, prior)
    key = jax.random.fold_in(random_key(wish.seed), len(state.rounds))
    (pool, guesses) = _pool(state, looked, some, free, wish)
    rows = np.asarray(compiled(_picking(wish.strategy, pool, some))(key, pool, new))
    asked = {
        looked.digests[row]: Record(looked.names[row], guess=guesses.get(int(row))) for row in rows
    }
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return state.asking(asked, Round(at, wish.strategy))


def _picking(strategy: str, pool: Pool, some: Labelled) -> Pick:
    """What chooses; `auto` as `by_labels`, but by what is labelled, not asked about or skipped."""
    if strategy != AUTO:
        return STRATEGIES[strategy].pick
    if not len(pool.labelled):
        return first_images
    sure = some.enough and len(some.y) >= enough_labels(len(pool.counts), len(pool.z))
    return STRATEGIES["margin" if sure else "facility_location"].pick


def free_of(state: State, looked: Looked) -> np.ndarray:
    """bool [N]: photographs that may be asked about; of those that hardly differ, the first one."""
    known = [row for digest, row in looked.place.items() if digest in state.photos]
    taken = np.isin(looked.alike, looked.alike[known])
    first = np.zeros(len(looked.alike), bool)
    first[np.unique(looked.alike, return_index=True)[1]] = True
    return first & ~taken


def _number(wanted: int | None, waiting: int, free: int, looked: Looked) -> int:
    """How many new photographs to ask about.

    Raises:
      UserError: fewer are left.
    """
    unread = f"; {said(looked.refused)}" if looked.refused else ""
    if not waiting + free:
        raise UserError(
            "no photo is left to ask about: all are labelled, skipped, or nearly the same as one "
            f"that is; `active fit` makes the recogniser{unread}"
        )
    number = min(USUAL, waiting + free) if wanted is None else wanted
    if number > waiting + free:
        asked = f", {waiting} of them asked about already" if waiting else ""
        raise UserError(
            f"--n={number}: only {waiting + free} photos are left{asked}: give at most that many"
            f"{unread}"
        )
    return max(0, number - waiting)


def _pool(
    state: State, looked: Looked, some: Labelled, free: np.ndarray, wish: Wish
) -> tuple[Pool, dict[int, str]]:
    """What the strategy sees, and the class that a head takes each free photograph for."""
    z = looked.directions
    # What is asked about will be labelled; what was skipped needs no second one like it
    known = [row for digest, row in looked.place.items() if digest in state.photos]
    counts = np.zeros(max(TWO, wish.classes, len(some.classes)), np.int32)
    counts[: len(some.classes)] = some.counts
    pool = Pool(
        z=jnp.asarray(z, jnp.float32),
        free=jnp.asarray(free),
        labelled=jnp.asarray(known, jnp.int32),
        counts=jnp.asarray(counts),
    )
    if not some.enough:
        return pool, {}
    p = probabilities(fit_head(some), looked.z)
    guesses = {int(row): some.classes[p[row].argmax()] for row in np.flatnonzero(free)}
    pool = pool._replace(probabilities=jnp.asarray(p, jnp.float32))
    if STRATEGIES[wish.strategy].committee:
        several = committee(wish.seed + len(state.rounds), some, looked.z)
        pool = pool._replace(committee=jnp.asarray(several, jnp.float32))
    return pool, guesses


def renamed(state: State, found: Mapping[str, str]) -> State:
    """The state with the names that photographs have now, by digest."""
    moved = {
        digest: each._replace(name=found[digest])
        for digest, each in state.photos.items()
        if digest in found and found[digest] != each.name
    }
    return state.with_records(moved) if moved else state


def missing(state: State, looked: Looked) -> list[str]:
    """Names of photographs that were asked about or labelled and are not there any more."""
    return [each.name for digest, each in state.photos.items() if digest not in looked.place]
