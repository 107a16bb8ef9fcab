"""What a body reached on both domains' images, at each validation of its training."""

import dataclasses
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metalearn.data.source import Dataset, Split
from metalearn.domains.deep.judging import Answered, Answers, distance_of, outcome_of
from metalearn.domains.deep.settings import LAST
from metalearn.domains.trial import Outcome, validator_names
from metalearn.errors import UserError
from metalearn.evaluation.blocks import Blocks
from metalearn.files import write_text
from metalearn.training.adaptation import answering
from metalearn.training.domain_batches import Adaptation, source_side, without_labels
from metalearn.training.lab import Lab
from metalearn.training.plan import Validated
from metalearn.types import PyTree

OUTCOMES = "outcomes.json"  # in a run's folder
SOME = 2000  # training images of a domain that are judged


class Domains(NamedTuple):
    """Both domains' images on the devices, or their features.

    Attributes:
      source: with the classes' numbers of images.
      target: the same; its training images' labels are read for `target_labels` alone.
      names: of the classes.
    """

    source: Lab
    target: Lab
    names: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Of both data sets' images."""
        return f"{self.source.dataset.digest}+{self.target.dataset.digest}"


def labels_of(split: Split) -> np.ndarray:
    """int64 [M], the class of each image."""
    return np.repeat(np.arange(len(split.counts)), split.counts)


def holds_out(source: Dataset) -> bool:
    """Whether there are images of the source beside those that are trained on and those tested.

    Not where each class has one image: product pictures are validated and tested by photographs.
    """
    return len(source.valid.images) > 0 and int(source.train.counts.max()) > 1


def validators_of(source: Dataset) -> list[str]:
    """The validators that a source of such images has."""
    return validator_names(holds_out(source))


def check_keep(keep: str, source: Dataset) -> None:
    """See that a state can be kept by what is asked for.

    Args:
      keep: `last`, or a validator.
      source: whose images some validators read.

    Raises:
      UserError: it is no validator, or reads images that are not there.
    """
    known = [LAST, *validators_of(source)]
    if keep not in known:
        why = "" if holds_out(source) else " (the source has no validation images of its own)"
        raise UserError(f"--keep={keep}: choose one of {', '.join(known)}{why}")


class Judge:
    """Judges a body at each validation, and writes what it finds into the run's folder."""

    def __init__(self, about: Adaptation, domains: Domains, workdir: Path):
        """For the run in a folder.

        Raises:
          UserError: the validator that keeps a state is none, or reads images that are not there.
        """
        self.about = about
        self.domains = domains
        self.path = workdir / OUTCOMES
        self.names = validators_of(domains.source.dataset)
        check_keep(about.config.keep, domains.source.dataset)
        self.of_source = answering(about, domains.source)
        self.of_target = answering(about, domains.target)
        self.source_side = source_side(about)
        random = np.random.default_rng(0)
        self.rows = [
            # In random order: images are sorted by class, and some look at the first of these
            random.permutation(len(lab.dataset.train.images))[:SOME]
            for lab in (domains.source, domains.target)
        ]

    def __call__(self, step: int, ready: PyTree) -> Validated:
        """Judge what is ready, of a step."""
        begun = time.perf_counter()
        answered = self.answered(ready)
        seconds = time.perf_counter() - begun
        last = step == self.about.config.steps
        distance = distance_of(self._source_z(ready), answered.target.z) if last else None
        outcome = outcome_of(answered, self.domains.names, distance, seconds)
        found = read_outcomes(self.path)
        found[step] = outcome
        kept = {name: dataclasses.asdict(each) for name, each in sorted(found.items())}
        write_text(self.path, json.dumps(kept, indent=1) + "\n")
        scores = dict(zip(self.names, outcome.validators, strict=True))
        score = float(step) if self.about.config.keep == LAST else scores[self.about.config.keep]
        logged = {f"by_{name}": value for name, value in scores.items()}
        logged |= {} if distance is None else {"distance": distance}
        said = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
        return Validated(score, logged, f"without labels: {said}")

    def answered(self, ready: PyTree) -> Answered:
        """What a state says of both domains' images."""
        (source, target) = (self.domains.source.dataset, self.domains.target.dataset)
        held = None
        if holds_out(source):
            held = self._answers(ready, source.valid, None, self.of_source)
        return Answered(
            self._answers(ready, source.train, self.rows[0], self.of_source),
            self._answers(ready, without_labels(target.train), self.rows[1], self.of_target),
            held,
            self._answers(ready, source.test, None, self.of_source),
            self._answers(ready, target.test, None, self.of_target),
        )

    def aligned(self, ready: PyTree) -> tuple[np.ndarray, np.ndarray]:
        """Features of some training images of both domains, as the method brings them together."""
        split = without_labels(self.domains.target.dataset.train)
        target = self._answers(ready, split, self.rows[1], self.of_target)
        return self._source_z(ready), target.z

    def _source_z(self, ready: PyTree) -> np.ndarray:
        """Features of the source's images, not by the body that is kept as it is.

        They have running statistics of the source, as in training each domain has its own.
        """
        split = self.domains.source.dataset.train
        return self._answers(self.source_side(ready), split, self.rows[0], self.of_source).z

    def _answers(
        self, ready: PyTree, split: Split, rows: np.ndarray | None, function: Blocks
    ) -> Answers:
        chosen = np.arange(len(split.images)) if rows is None else rows
        found = function(ready, split.images, chosen)
        (z, logits) = np.split(found, [-self.about.classes], 1)
        return Answers(z, logits, labels_of(split)[chosen])


def read_outcomes(path: Path) -> dict[int, Outcome]:
    """The outcomes of a run's validations so far, by their step.

    Raises:
      UserError: the file is none of ours.
    """
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text())
        return {int(step): Outcome(**each) for step, each in found.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}): delete the run's folder") from error
