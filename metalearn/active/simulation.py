"""Active learning where all labels are known: what each round would have been worth."""

import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.active.images import Answers, Fit, Images, centred, fitted, free_images
from metalearn.active.pool import Pool, Strategy
from metalearn.active.quota import evened
from metalearn.errors import UserError
from metalearn.ops.softmax import softmax
from metalearn.transfer.centroid import unit
from metalearn.types import Array, Key, random_key

MEMBERS = 5  # heads of a committee
AHEAD = 4  # times as many images are chosen, of which those are taken that even out classes


class Rules(NamedTuple):
    """How labels are asked for.

    Attributes:
      budgets: labels known after each round, ascending.
      pool: images of the pool, drawn by the seed; 0 for all.
      balanced: whether choices are evened out over the classes that the head takes them for.
      distinct: whether images that show the same as a labelled one are left out.
      stop: Cohen's kappa of a classifier's answers for the pool and those of the one before, from
        which on no more labels are asked for; 0 for never.
    """

    budgets: tuple[int, ...]
    pool: int = 0
    balanced: bool = False
    distinct: bool = False
    stop: float = 0.0


class Round(NamedTuple):
    """What was known after a round.

    Attributes:
      labels: known; fewer than in the budget where no more were asked for.
      accuracy: of the test images.
      macro_recall: mean recall of the classes of test images.
      classes: that have a labelled image.
      agreement: Cohen's kappa of the head's answers for the pool and those of the head before;
        None after the first round.
      pick_s: seconds of choosing.
      fit_s: seconds of fitting.
    """

    labels: int
    accuracy: float
    macro_recall: float
    classes: int
    agreement: float | None
    pick_s: float
    fit_s: float


def simulate(
    strategy: Strategy, images: Images, rules: Rules, fit: Fit, seed: int
) -> Iterator[Round]:
    """Rounds from zero labels; every head is fitted from its start.

    Args:
      strategy: that chooses.
      images: features and labels.
      rules: how labels are asked for.
      fit: a head to labelled images.
      seed: draws the pool, and all that the strategy draws.

    Raises:
      UserError: fewer images than labels.
    """
    images = centred(images.drawn(rules.pool, seed))
    chooser = Chooser(strategy, images, rules)
    labelled = np.zeros(0, np.int32)
    guesses: np.ndarray | None = None
    last: Round | None = None
    for number, budget in enumerate(rules.budgets):
        if last is not None and stable(last, rules):
            yield last._replace(pick_s=0.0, fit_s=0.0)
            continue
        key = jax.random.fold_in(random_key(seed), number)
        begin = time.perf_counter()
        labelled = np.concatenate([labelled, chooser.pick(key, labelled, budget - len(labelled))])
        picked = time.perf_counter()
        answers = fitted(fit, images, labelled)
        seconds = time.perf_counter() - picked
        before = guesses
        guesses = answers.pool.argmax(1)
        chooser.learn(key, answers, fit, labelled)
        tested = answers.test.argmax(1)
        last = Round(
            labels=budget,
            accuracy=float((tested == images.test_y).mean()),
            macro_recall=macro_recall(tested, images.test_y),
            classes=len(np.unique(images.y[labelled])),
            agreement=None if before is None else kappa(before, guesses, images.classes),
            pick_s=picked - begin,
            fit_s=seconds,
        )
        yield last


def stable(last: Round, rules: Rules) -> bool:
    """Whether no more labels are asked for, as answers hardly change.

    Bloodgood & Vijay-Shanker 2009 stop where the kappa of the last three heads is 0.99 in the mean,
    on images set apart. Here it is that of two, on the pool, labelled images among them; and not
    before two classes have labels.
    """
    asked = bool(rules.stop) and last.agreement is not None and last.classes > 1
    return asked and (last.agreement or 0.0) >= rules.stop


class Chooser:
    """A strategy and what it sees.

    Args:
      strategy: that chooses.
      images: features and labels.
      rules: how labels are asked for.
    """

    def __init__(self, strategy: Strategy, images: Images, rules: Rules):
        self._strategy = strategy
        self._images = images
        self._rules = rules
        self._z = jnp.asarray(unit(images.z), jnp.float32)
        self._probabilities: Array | None = None
        self._committee: Array | None = None

    def pick(self, key: Key, labelled: np.ndarray, k: int) -> np.ndarray:
        """Positions int32 [k] of images to label next.

        Raises:
          UserError: fewer are left.
        """
        free = free_images(labelled, self._images.alike, self._rules.distinct)
        if free.sum() < k:
            raise UserError(
                f"{len(labelled) + k} labels: the pool has {len(labelled) + free.sum()} images: "
                "ask for fewer, or have more images"
            )
        counts = np.bincount(self._images.y[labelled], minlength=self._images.classes)
        state = (jnp.asarray(free), jnp.asarray(labelled), jnp.asarray(counts))
        pool = Pool(self._z, *state, self._probabilities, self._committee)
        balanced = self._rules.balanced and self._probabilities is not None
        number = min(AHEAD * k, int(free.sum())) if balanced else k
        order = compiled(self._strategy.pick)(key, pool, number)
        if balanced:
            assert self._probabilities is not None
            order = evened(order, self._probabilities[order].argmax(1), pool.counts, k)
        return np.asarray(order)

    def learn(self, key: Key, answers: Answers, fit: Fit, labelled: np.ndarray) -> None:
        """Take over what a new classifier says of the pool, and a committee where it is read.

        Args:
          key: draws the committee.
          answers: of the new classifier.
          fit: makes others.
          labelled: int [L], positions of the images that it was fitted to.
        """
        self._probabilities = jnp.asarray(softmax(answers.pool))
        if self._strategy.committee:
            drawn = jax.random.randint(key, (MEMBERS, len(labelled)), 0, len(labelled))
            some = [fitted(fit, self._images, labelled[rows]) for rows in np.asarray(drawn)]
            self._committee = jnp.stack([softmax(each.pool) for each in some])


@cache
def compiled(pick: Callable[[Key, Pool, int], Array]) -> Callable[[Key, Pool, int], Array]:
    """A strategy's function, compiled once for all seeds."""
    return jax.jit(pick, static_argnums=2)


def macro_recall(answers: np.ndarray, true: np.ndarray) -> float:
    """Mean over the classes of `true` [Q] of the share that is answered rightly."""
    counts = np.bincount(true)
    right = np.bincount(true, answers == true)
    return float((right[counts > 0] / counts[counts > 0]).mean())


def kappa(one: np.ndarray, other: np.ndarray, classes: int) -> float:
    """Cohen's kappa of two sets of answers int [N]: agreement beyond chance; 1 if both are one."""
    agreed = float((one == other).mean())
    shares = [np.bincount(answers, minlength=classes) / len(one) for answers in (one, other)]
    by_chance = float(shares[0] @ shares[1])
    return 1.0 if by_chance == 1 else (agreed - by_chance) / (1 - by_chance)
