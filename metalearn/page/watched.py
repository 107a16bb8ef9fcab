"""Models that say how far they are with looking at photographs, which takes most of the time."""

from collections.abc import Callable
from dataclasses import replace
from functools import reduce

import numpy as np

from metalearn.personal.embedding import FITTED_BATCH
from metalearn.personal.model import Kept, Made, Maker, Model

Report = Callable[[int, int], None]  # of the photographs looked at, and of all


def watched(model: Model, report: Report) -> Model:
    """The model, which reports before the first and after every batch of photographs it keeps."""

    def keep(images: np.ndarray) -> Kept:
        report(0, len(images))
        parts = []
        for start in range(0, len(images), FITTED_BATCH):
            parts.append(model.keep(images[start : start + FITTED_BATCH]))
            report(min(start + FITTED_BATCH, len(images)), len(images))
        return reduce(Kept.with_others, parts)

    return replace(model, keep=keep)


def watching(maker: Maker, report: Report) -> Maker:
    """What makes watched models."""

    def make(counts: np.ndarray) -> Made:
        made = maker(counts)
        return made._replace(model=watched(made.model, report))

    return make
