"""A few labelled images of the target beside the source's: which, and what is fitted to both."""

from collections.abc import Sequence

import numpy as np

from metalearn.domains.types import Adapted
from metalearn.errors import UserError
from metalearn.transfer.fitted import Sample
from metalearn.transfer.probes import checked


def training_set(
    adapted: Adapted,
    source_y: np.ndarray,
    classes: int,
    few: tuple[np.ndarray, np.ndarray] | None = None,
    weight: float = 1.0,
) -> Sample:
    """What a classifier is fitted to: the adapted source, and labelled images of the target.

    Args:
      adapted: by a method that saw the target's images without labels.
      source_y: int [M].
      classes: C.
      few: features [K,D] as they came, and labels int [K], of images of the target; None for none.
      weight: of each of these in the loss; images of the source weigh 1 in the mean.

    Raises:
      UserError: labels that do not fit; a weight that is not above 0.
    """
    if not weight > 0:
        raise UserError(f"labelled images of the target weigh {weight}: give a number above 0")
    ones = np.ones(classes)
    if few is None:
        return Sample(adapted.source, source_y, ones, adapted.weights)
    (_, y) = checked(*few, classes, "labelled target")
    z = np.concatenate([adapted.source, adapted.transform(few[0])])
    weights = np.concatenate([adapted.weights, np.full(len(y), weight)])
    return Sample(z, np.concatenate([source_y, y]), ones, weights)


def few_of_each(y: np.ndarray, k: int, names: Sequence[str], seed: int = 0) -> np.ndarray:
    """Positions int [C*k], sorted: k images of each class, drawn at random to be labelled.

    Args:
      y: int [N], labels.
      k: images a class.
      names: C class names, for messages.
      seed: of the draw.

    Raises:
      UserError: k below 1, or above the images of a class.
    """
    if k < 1:
        raise UserError(f"{k} labelled images a class: give 1 or more")
    counts = np.bincount(y, minlength=len(names))
    if counts.min() < k:
        small = int(counts.argmin())
        (has, fewer) = (f"has {counts[small]}", f"give {counts[small]} or fewer")
        if not counts[small]:
            (has, fewer) = ("has no training image", "leave them out")
        raise UserError(
            f"{k} labelled images a class, but '{names[small]}' {has}: {fewer}, or add images of it"
        )
    random = np.random.default_rng(seed)
    chosen = [random.permutation(np.flatnonzero(y == each))[:k] for each in range(len(names))]
    return np.sort(np.concatenate(chosen))
