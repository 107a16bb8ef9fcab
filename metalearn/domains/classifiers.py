"""Classifiers of adapted features, and what they say of images that they were not fitted to."""

import numpy as np

from metalearn.domains.discriminator import density_ratio
from metalearn.domains.few import training_set
from metalearn.domains.nearest import calibrated, nearest_logits
from metalearn.domains.types import Adapted, Domains
from metalearn.domains.validators import Judged
from metalearn.errors import UserError
from metalearn.transfer.fitted import Sample
from metalearn.transfer.probes import KINDS, Labelled, apply_probe, fit_probe
from metalearn.transfer.scores import stratified_folds

NEAREST = "nearest"  # which takes no notice of weights
CLASSIFIERS = (NEAREST, *KINDS)
FOLDS = 5


def classified(kind: str, training: Sample, new: np.ndarray) -> np.ndarray:
    """Logits [A,C] of new images by a classifier.

    Args:
      kind: one of `CLASSIFIERS`.
      training: adapted images, see `training_set`; classes may be without images.
      new: [A,E], adapted.

    Raises:
      UserError: unknown kind; what `fit_probe` refuses.
    """
    if kind not in CLASSIFIERS:
        raise UserError(f"unknown classifier '{kind}': choose one of {', '.join(CLASSIFIERS)}")
    classes = len(training.weights)
    if kind == NEAREST:
        return nearest_logits(training.z, training.y, classes, new)
    probe = fit_probe(
        kind, training.z, training.y, classes, None, training.weights, images=training.images
    )
    return apply_probe(probe, np.asarray(new, np.float32))


def judge(
    kind: str, domains: Domains, adapted: Adapted, few: Labelled | None = None, seed: int = 0
) -> Judged:
    """What validators read, by a classifier of four fifths of the source and of `few`.

    The other fifth, the same share of each class, is held out of the classifier and of the density
    ratio, not of the adaptation; images that are alone in their class are not. Distances of the
    nearest images become the likeliest logits of the fifth: in the features' unit they say nothing
    of how sure an answer is.

    Args:
      kind: one of `CLASSIFIERS`.
      domains: both.
      adapted: by a method that saw these.
      few: features and labels of the target's labelled images; None for none.
      seed: of the fifth.

    Raises:
      UserError: what `classified` refuses; no class has two images.
    """
    folds = stratified_folds(domains.source_y, FOLDS, seed)
    held = folds == 0
    if not held.any():
        raise UserError("no class of the source has two images: none can be held out")
    target = adapted.transform(domains.target_z)
    every = training_set(adapted, domains.source_y, domains.classes, few)
    known = np.arange(len(held), len(every.y))
    fitted = every.at(np.concatenate([np.flatnonzero(~held), known]))
    logits = classified(kind, fitted, np.concatenate([adapted.source[held], target]))
    y = domains.source_y[held]
    if kind == NEAREST:
        logits = calibrated(logits, y, np.unique(fitted.y))
    ratio = density_ratio(adapted.source[~held], target).at(adapted.source[held])
    return Judged(logits[: len(y)], y, ratio, logits[len(y) :])
