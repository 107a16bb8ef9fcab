"""What a recogniser is made with: how photographs are kept, fitted to and answered."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from metalearn.types import InputSpec

Arrays = dict[str, np.ndarray]
RUN = "run"  # kind of the model of a meta-trained run


class Kept(NamedTuple):
    """What is kept of each of M photographs: its features in 8 bits, or a small image.

    Attributes:
      codes: uint8 [M,...].
      low: [M] float32, the feature of code 0; None of images.
      step: [M] float32, between codes; None of images.
    """

    codes: np.ndarray
    low: np.ndarray | None = None
    step: np.ndarray | None = None

    @property
    def values(self) -> np.ndarray:
        """Features float32 [M,D], or images uint8 [M,H,W,3]."""
        if self.low is None or self.step is None:
            return self.codes
        return self.low[:, None] + self.step[:, None] * self.codes.astype(np.float32)

    def at(self, rows: np.ndarray) -> "Kept":
        """Some of them."""
        (low, step) = (None if part is None else part[rows] for part in (self.low, self.step))
        return Kept(self.codes[rows], low, step)

    def with_others(self, others: "Kept") -> "Kept":
        """These, then others of the same kind."""
        codes = np.concatenate([self.codes, others.codes])
        if self.low is None or self.step is None or others.low is None or others.step is None:
            return Kept(codes)
        low = np.concatenate([self.low, others.low])
        return Kept(codes, low, np.concatenate([self.step, others.step]))


def rounded(z: np.ndarray) -> Kept:
    """Features float32 [M,D] in 8 bits, from the least to the largest of each photograph."""
    low = z.min(1)
    step = np.maximum((z.max(1) - low) / 255, np.finfo(np.float32).tiny)
    codes = np.rint((z - low[:, None]) / step[:, None])
    return Kept(codes.astype(np.uint8), low.astype(np.float32), step.astype(np.float32))


def read_inputs(found: dict[str, Any]) -> InputSpec:
    """The images that a body takes, as JSON has them.

    Raises:
      KeyError, TypeError, ValueError, IndexError: it is not what `InputSpec._asdict` gave.
    """
    return InputSpec(
        size=(int(found["size"][0]), int(found["size"][1])),
        mean=tuple(map(float, found["mean"])),
        std=tuple(map(float, found["std"])),
        resize=str(found["resize"]),
    )


class Made(NamedTuple):
    """A model, and why it is this one."""

    model: "Model"
    why: str


Maker = Callable[[np.ndarray], Made]  # of the number of photographs of each class, [C]


@dataclass(frozen=True)
class Model:
    """A way from photographs to answers.

    Attributes:
      kind: `probe` or `run`, what reads `made_of` and `weights` again.
      made_of: what JSON can hold of it.
      weights: arrays that the recogniser's file has to hold as well; few or none where the body's
        weights are installed everywhere.
      body: gives all weights, for a file that is to hold them.
      make: makes the model for other numbers of photographs.
      pixels: a side of the square images that it takes.
      calibrated: whether its logits are those of probabilities that can be believed.
      prior: photographs that the mean of others counts as, in vectors of which cosines are taken.
      keep: `uint8 [M,pixels,pixels,3] -> Kept`, of photographs that are fitted to.
      ask: `uint8 [Q,pixels,pixels,3] -> values [Q,...]`, of others.
      fit: `(values [M,...], y [M], C) -> state`, arrays.
      logits: `(state, values [Q,...]) -> [Q,C]`.
      vectors: `(state, values [Q,...]) -> [Q,D]`, what cosines are taken of.
      included: whether its file held the body's weights: then it will again.
    """

    kind: str
    made_of: dict[str, Any]
    weights: Arrays
    body: Callable[[], Arrays]
    make: Maker
    pixels: int
    calibrated: bool
    prior: float
    keep: Callable[[np.ndarray], Kept]
    ask: Callable[[np.ndarray], np.ndarray]
    fit: Callable[[np.ndarray, np.ndarray, int], Arrays]
    logits: Callable[[Arrays, np.ndarray], np.ndarray]
    vectors: Callable[[Arrays, np.ndarray], np.ndarray]
    included: bool = False


def flat(tree: dict[str, Any], prefix: str = "") -> Arrays:
    """Nested dicts of arrays by path, `a/b/c`."""
    found: Arrays = {}
    for name, part in tree.items():
        path = f"{prefix}{name}"
        found |= flat(part, f"{path}/") if isinstance(part, dict) else {path: np.asarray(part)}
    return found


def nested(arrays: Arrays) -> dict[str, Any]:
    """The nested dicts that `flat` flattened.

    Raises:
      ValueError: a path is of an array and of others below it.
    """
    found: dict[str, Any] = {}
    for path, part in arrays.items():
        (*folders, name) = path.split("/")
        place = found
        for folder in folders:
            place = place.setdefault(folder, {})
            if not isinstance(place, dict):
                raise ValueError(f"'{path}' lies below an array")
        if name in place:
            raise ValueError(f"'{path}' is an array with others below it")
        place[name] = part
    return found
