"""One draw of a comparison: a method, its classifier, and how good that is in both domains."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

import numpy as np

from metalearn.domains.classifiers import FOLDS, classified, judge
from metalearn.domains.distance import check_halves, proxy_a_distance
from metalearn.domains.few import few_of_each, training_set
from metalearn.domains.grids import Settings
from metalearn.domains.registry import adapt
from metalearn.domains.types import Adapted, Domains
from metalearn.domains.validators import VALIDATORS, Judged
from metalearn.errors import UserError
from metalearn.evaluation.scores import scores
from metalearn.transfer.scores import stratified_folds, stratified_subset

OF_TARGET = ("entropy", "information", "density")  # validators that read no image of the source


class Side(NamedTuple):
    """Features of a domain, of its training and of its test images.

    Attributes:
      z: [M,D].
      y: int [M]; of the target, only `few_of_each` reads them.
      test_z: [V,D].
      test_y: int [V].
    """

    z: np.ndarray
    y: np.ndarray
    test_z: np.ndarray
    test_y: np.ndarray


class Recipe(NamedTuple):
    """What all methods of a comparison have in common.

    Attributes:
      classifier: one of `classifiers.CLASSIFIERS`.
      images: drawn of each domain's training images; 0 for all, as where there are fewer.
      target_labels: labelled images a class of the target; 0 for none.
      names: of the classes.
    """

    classifier: str
    images: int
    target_labels: int
    names: Sequence[str]


class Drawn(NamedTuple):
    """The training images of a draw.

    Attributes:
      domains: labelled source, unlabelled target.
      few: features and labels of the target's labelled images; None for none.
    """

    domains: Domains
    few: tuple[np.ndarray, np.ndarray] | None


@dataclass(frozen=True)
class Outcome:
    """What a method with one setting reached; shares of 1.

    Attributes:
      source: accuracy, macro recall and macro F1 of the source's test images, which go through the
        same transform as the target's: the classifier is not told where an image is from.
      target: those of the target's test images.
      validators: scores without labels of the target, in the order of `validators_of`.
      distance: proxy A-distance of the adapted training images; of a body that is trained, after
        the last update alone, and None before.
      adapt_s: seconds of adapting, or of training so far.
      fit_s: seconds of fitting, and of answering for all test images.
      adapted: what the method made of the draw; None of a body that is trained.
    """

    source: tuple[float, float, float]
    target: tuple[float, float, float]
    validators: list[float]
    distance: float | None
    adapt_s: float
    fit_s: float
    adapted: Adapted | None = None


def check_sides(source: Side, target: Side) -> None:
    """See that both domains have images to test, and enough to train on.

    Raises:
      UserError: one has not.
    """
    for name, side in (("source", source), ("target", target)):
        if not len(side.test_y):
            raise UserError(f"the {name} has no test images: give it some")
        if not len(side.y):
            raise UserError(f"the {name} has no training images: give it some")
    check_halves(len(source.y), len(target.y))


def draw(source: Side, target: Side, recipe: Recipe, seed: int) -> Drawn:
    """The training images of one draw; those of the target are drawn without their labels.

    Args:
      source: domain.
      target: domain.
      recipe: how many.
      seed: of the draw. Of the source the same share of each class is drawn, and two images of each
        where there are.

    Raises:
      UserError: more labelled images of the target than a class has.
    """
    rows = np.arange(len(source.y))
    others = np.arange(len(target.z))
    if 0 < recipe.images < len(rows):
        rows = stratified_subset(source.y, recipe.images, seed)
    if 0 < recipe.images < len(others):
        random = np.random.default_rng(seed)
        others = np.sort(random.permutation(others)[: recipe.images])
    few = None
    if recipe.target_labels:
        known = few_of_each(target.y, recipe.target_labels, recipe.names, seed)
        few = (target.z[known], target.y[known])
    domains = Domains(source.z[rows], source.y[rows], target.z[others], len(recipe.names))
    return Drawn(domains, few)


def validators_of(source_y: np.ndarray) -> list[str]:
    """Names of the validators that there are: of the target alone, where no image can be held out.

    Args:
      source_y: int [M], labels of the source's training images.
    """
    return validator_names(bool((stratified_folds(source_y, FOLDS) == 0).any()))


def validator_names(holds: bool) -> list[str]:
    """The validators that there are; of the target alone where the source holds no image out."""
    return list(VALIDATORS) if holds else list(OF_TARGET)


def attempt(
    method: str, settings: Settings, drawn: Drawn, sides: tuple[Side, Side], recipe: Recipe
) -> Outcome:
    """Adapt, fit, judge and test.

    Args:
      method: of `registry.METHODS`.
      settings: of it.
      drawn: training images.
      sides: source and target, for their test images.
      recipe: what methods have in common.

    Raises:
      UserError: what the method, the classifier or the scores refuse.
    """
    (domains, few) = drawn
    begun = perf_counter()
    adapted = adapt(method, domains, **settings)
    adapt_s = perf_counter() - begun
    training = training_set(adapted, domains.source_y, domains.classes, few)
    begun = perf_counter()
    tests = [adapted.transform(side.test_z) for side in sides]
    logits = classified(recipe.classifier, training, np.concatenate(tests))
    fit_s = perf_counter() - begun
    parts = np.split(logits, [len(tests[0])])
    (source, target) = (
        reached(part, side.test_y, recipe.names) for part, side in zip(parts, sides, strict=True)
    )
    moved = adapted.transform(domains.target_z)
    equal = (adapted.weights == 1).all()
    distance = proxy_a_distance(adapted.source, moved, None if equal else adapted.weights)
    judged = _judged(recipe.classifier, drawn, adapted)
    found = [VALIDATORS[name].score(judged) for name in validators_of(domains.source_y)]
    return Outcome(source, target, found, distance, adapt_s, fit_s, adapted)


def _judged(classifier: str, drawn: Drawn, adapted: Adapted) -> Judged:
    """What validators read; without held-out images where every class of the source has one."""
    (domains, few) = drawn
    if validators_of(domains.source_y) != list(OF_TARGET):
        return judge(classifier, domains, adapted, few)
    training = training_set(adapted, domains.source_y, domains.classes, few)
    logits = classified(classifier, training, adapted.transform(domains.target_z))
    return Judged(logits[:0], domains.source_y[:0], np.zeros(0), logits)


def reached(logits: np.ndarray, y: np.ndarray, names: Sequence[str]) -> tuple[float, float, float]:
    """Accuracy, macro recall and macro F1.

    Args:
      logits: [M,C].
      y: int [M].
      names: of the classes.
    """
    found = scores(logits, y, names)
    return found.accuracy, found.macro_recall, found.macro_f1
