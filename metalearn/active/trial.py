"""The rounds of one seed where all labels are known: what is asked, fitted and measured."""

import time
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


def stable(last: Round, rules: Rules) -> bool:
    """Whether no more labels are asked for, as answers hardly change.

    Bloodgood & Vijay-Shanker 2009 stop where the kappa of the last three heads is 0.99 in the mean,
    on images set apart. Here it is that of two, on the pool, labelled images among them; and not
    before two classes have labels.
    """
    asked = bool(rules.stop) and last.agreement is not None and last.classes > 1
    return asked and (last.agreement or 0.0) >= rules.stop


class Seen(NamedTuple):
    """A pool as it was drawn.

    Attributes:
      images: features, less the mean of the pool, and labels.
      z: float32 [N,D], features of length one, on the device.
    """

    images: Images
    z: Array


def seen_of(images: Images) -> Seen:
    """A pool of these images."""
    images = centred(images)
    return Seen(images, jnp.asarray(unit(images.z), jnp.float32))


class Asked(NamedTuple):
    """What a strategy is asked: `pick(key, pool, k)`."""

    key: Key
    pool: Pool
    k: int


class Trial:
    """The rounds of one seed: in each, images are asked for, and learned from.

    Args:
      strategy: that chooses.
      seen: what it chooses from.
      rules: how labels are asked for.
      fit: a head to labelled images, from its start.
      seed: draws all that the strategy draws.

    Attributes:
      rounds: that were made.
    """

    def __init__(self, strategy: Strategy, seen: Seen, rules: Rules, fit: Fit, seed: int):
        self.rounds: list[Round] = []
        self._strategy = strategy
        self._images = seen.images
        self._z = seen.z
        self._rules = rules
        self._fit = fit
        self._seed = seed
        self._labelled = np.zeros(0, np.int32)
        self._guesses: np.ndarray | None = None
        self._probabilities: Array | None = None
        self._committee: Array | None = None

    @property
    def ended(self) -> bool:
        """Whether no more labels are asked for."""
        return bool(self.rounds) and stable(self.rounds[-1], self._rules)

    @property
    def wanted(self) -> int:
        """Labels that the next round asks for."""
        return self._rules.budgets[len(self.rounds)] - len(self._labelled)

    @property
    def key(self) -> Key:
        """Draws the next round."""
        return jax.random.fold_in(random_key(self._seed), len(self.rounds))

    def asks(self) -> Asked:
        """What the next round asks for.

        Raises:
          UserError: fewer images are left.
        """
        known = len(self._labelled)
        free = free_images(self._labelled, self._images.alike, self._rules.distinct)
        if free.sum() < self.wanted:
            raise UserError(
                f"{known + self.wanted} labels: the pool has {known + free.sum()} images: "
                "ask for fewer, or have more images"
            )
        state = (jnp.asarray(free), jnp.asarray(self._labelled), jnp.asarray(self._counts()))
        pool = Pool(self._z, *state, self._probabilities, self._committee)
        number = self.wanted
        if self._rules.balanced and self._probabilities is not None:
            number = min(AHEAD * number, int(free.sum()))
        return Asked(self.key, pool, number)

    def learns(self, order: np.ndarray, seconds: float) -> None:
        """Take over what was chosen, fit a head, and measure it.

        Args:
          order: int32 [k], the positions that `asks` asked for.
          seconds: that choosing took.
        """
        if self._rules.balanced and self._probabilities is not None:
            guesses = self._probabilities[order].argmax(1)
            counts = jnp.asarray(self._counts())
            order = np.asarray(evened(jnp.asarray(order), guesses, counts, self.wanted))
        self._labelled = np.concatenate([self._labelled, order])
        begin = time.perf_counter()
        answers = fitted(self._fit, self._images, self._labelled)
        self._measures(answers, seconds, time.perf_counter() - begin)

    def rests(self) -> None:
        """Ask for nothing in this round."""
        self.rounds.append(self.rounds[-1]._replace(pick_s=0.0, fit_s=0.0))

    def _counts(self) -> np.ndarray:
        return np.bincount(self._images.y[self._labelled], minlength=self._images.classes)

    def _measures(self, answers: Answers, pick_s: float, fit_s: float) -> None:
        """Keep what a new classifier says, and how right it is."""
        images = self._images
        key = self.key
        before = self._guesses
        self._guesses = answers.pool.argmax(1)
        agreement = None if before is None else kappa(before, self._guesses, images.classes)
        tested = answers.test.argmax(1)
        self.rounds.append(
            Round(
                labels=len(self._labelled),
                accuracy=float((tested == images.test_y).mean()),
                macro_recall=macro_recall(tested, images.test_y),
                classes=len(np.unique(images.y[self._labelled])),
                agreement=agreement,
                pick_s=pick_s,
                fit_s=fit_s,
            )
        )
        self._probabilities = jnp.asarray(softmax(answers.pool))
        if self._strategy.committee:
            self._committee = self._drawn(key)

    def _drawn(self, key: Key) -> Array:
        """float32 [M,N,C]: what heads say that are fitted to bootstrap samples of the labelled."""
        shape = (MEMBERS, len(self._labelled))
        drawn = jax.random.randint(key, shape, 0, len(self._labelled))
        some = [fitted(self._fit, self._images, self._labelled[rows]) for rows in np.asarray(drawn)]
        return jnp.stack([softmax(each.pool) for each in some])


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
