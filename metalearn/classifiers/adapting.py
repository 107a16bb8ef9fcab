"""One run that trains a body for another domain: from both domains' images to its outcomes."""

import dataclasses
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metalearn.config import Config
from metalearn.data.augment import augmentation
from metalearn.data.source import Dataset, Split
from metalearn.domains.deep.judging import Answered, Answers, outcome_of, validator_names
from metalearn.domains.deep.registry import DEEP
from metalearn.domains.deep.settings import LAST, Settings
from metalearn.domains.few import few_of_each
from metalearn.domains.trial import Outcome
from metalearn.errors import UserError
from metalearn.evaluation.scores import check_installed
from metalearn.files import write_text
from metalearn.learners.method import layers_of, precision_of
from metalearn.models import flattened, is_pretrained, make_network
from metalearn.ops.optimizers import make_optimizer
from metalearn.records.workdir import (
    Saved,
    lineage_of,
    lock_workdir,
    open_workdir,
    read_workdir,
)
from metalearn.retest import read_trained
from metalearn.settings import narrowed
from metalearn.training.adaptation import Adaptation, adaptation_plan, answering, without_labels
from metalearn.training.lab import Lab
from metalearn.training.loop import train
from metalearn.training.metric_log import seconds_until
from metalearn.training.plan import Validated
from metalearn.training.state import Run
from metalearn.types import Network, PyTree

OUTCOMES = "outcomes.json"  # of each validation of a run
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


def check_adaptation(config: Config) -> None:
    """Find settings that no images would make right before any are loaded.

    Raises:
      UserError: a number out of range, an unknown name, settings that contradict each other.
    """
    check_installed()
    narrowed(config, Settings).check()
    make_optimizer(config)
    augmentation(config.augment)
    if DEEP[config.method].needs_labels and not config.target_labels:
        raise UserError(
            f"{config.method} is trained on labelled images of the target: give --target_labels"
        )
    if config.bottleneck and not is_pretrained(config.backbone):
        raise UserError(
            f"--bottleneck is trained on the features of a pre-trained body, and {config.backbone} "
            "is none: choose such a --backbone"
        )
    if not config.bottleneck and is_pretrained(config.backbone):
        raise UserError(
            f"{config.backbone} is pre-trained: a dense layer on its features is trained by "
            "--bottleneck; or choose another --backbone"
        )


def labels_of(split: Split) -> np.ndarray:
    """int64 [M], the class of each image."""
    return np.repeat(np.arange(len(split.counts)), split.counts)


def network_of(config: Config) -> Network:
    """What is trained: the backbone, or a dense layer on its features."""
    name = "bottleneck" if config.bottleneck else config.backbone
    kind = layers_of(config.norm)
    made = make_network(name, kind, precision_of(config), shared=True, initial=config.initial)
    return flattened(made)


def assembled_adaptation(config: Config, domains: Domains) -> Adaptation:
    """The body about to be trained.

    Args:
      config: settings; `init_from` names a training on the source alone, where the method begins
        from one.
      domains: both.

    Raises:
      UserError: settings that contradict each other, or do not fit the images.
    """
    method = DEEP[config.method]
    network = network_of(config)
    settings = narrowed(config, Settings)
    begun = read_trained(Path(config.init_from)).meta if method.begins else None
    train_split = domains.target.dataset.train
    few = _few(config, train_split, domains.names) if config.target_labels else None
    target = _without_labels(domains.target)
    trainee = method.build(network, settings)
    return Adaptation(config, network, trainee, domains.source, target, few, begun)


def _few(config: Config, split: Split, names: tuple[str, ...]) -> Split:
    rows = few_of_each(labels_of(split), config.target_labels, names, config.seed)
    counts = np.full(len(names), config.target_labels, np.int32)
    return Split(np.asarray(split.images[rows]), counts, names)


def _without_labels(lab: Lab) -> Lab:
    """The lab with its training images in one class, on the devices as well."""
    train_split = without_labels(lab.dataset.train)
    source = lab.train._replace(starts=lab.train.starts[:1] * 0, counts=lab.train.counts.sum()[None])
    return lab._replace(dataset=lab.dataset._replace(train=train_split), train=source)


def validators_of(source: Dataset) -> list[str]:
    """The validators that a source of such images has."""
    return validator_names(len(source.valid.images) > 0)


class Watch:
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
        keep = about.config.keep
        if keep not in (LAST, *self.names):
            raise UserError(
                f"--keep={keep}: choose one of {', '.join([LAST, *self.names])}"
                + ("" if len(self.names) > 3 else " (the source has no validation images)")
            )
        self.of_source = answering(about, domains.source)
        self.of_target = answering(about, domains.target)
        random = np.random.default_rng(0)
        self.rows = [
            np.sort(random.permutation(len(lab.dataset.train.images))[:SOME])
            for lab in (domains.source, domains.target)
        ]

    def __call__(self, step: int, ready: PyTree) -> Validated:
        """Judge what is ready, of a step."""
        begun = time.perf_counter()
        answered = self.answered(ready)
        outcome = outcome_of(answered, self.domains.names, time.perf_counter() - begun)
        found = read_outcomes(self.path)
        found[step] = outcome
        kept = {name: dataclasses.asdict(each) for name, each in sorted(found.items())}
        write_text(self.path, json.dumps(kept, indent=1) + "\n")
        scores = dict(zip(self.names, outcome.validators, strict=True))
        score = float(step) if self.about.config.keep == LAST else scores[self.about.config.keep]
        logged = {f"by_{name}": value for name, value in scores.items()}
        said = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
        return Validated(score, logged | {"distance": outcome.distance}, f"without labels: {said}")

    def answered(self, ready: PyTree) -> Answered:
        """What a state says of both domains' images."""
        (source, target) = (self.domains.source.dataset, self.domains.target.dataset)
        held = None
        if len(source.valid.images):
            held = self._answers(ready, source.valid, None, self.of_source)
        return Answered(
            self._answers(ready, source.train, self.rows[0], self.of_source),
            self._answers(ready, without_labels(target.train), self.rows[1], self.of_target),
            held,
            self._answers(ready, source.test, None, self.of_source),
            self._answers(ready, target.test, None, self.of_target),
        )

    def _answers(
        self, ready: PyTree, split: Split, rows: np.ndarray | None, function
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


def adapt_body(run: Run, domains: Domains, command: str) -> dict[int, Outcome]:
    """Train the run's body, or find it done.

    Args:
      run: settings and folder.
      domains: images.
      command: that the folder holds.

    Returns:
      What it reached at each validation, by step.

    Raises:
      UserError: settings that do not fit, or files that cannot be written.
      Interrupted: SIGINT or SIGTERM, after saving.
    """
    (config, workdir, _) = run
    about = assembled_adaptation(config, domains)
    open_workdir(workdir, Saved(config, command, lineage_of(config), domains.digest))
    with lock_workdir(workdir):
        watch = Watch(about, domains, workdir)
        train([run], adaptation_plan(about, watch))
        found = read_outcomes(workdir / OUTCOMES)
    metrics = workdir / "metrics.jsonl"
    wanted = range(config.valid_every, config.steps, config.valid_every)
    steps = [*wanted, config.steps]
    return {
        step: dataclasses.replace(found[step], adapt_s=seconds_until(metrics, step))
        for step in steps
    }


def features_of_run(
    workdir: Path, domains: Domains, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Features of some of both domains' training images, by the body that a finished run kept.

    Args:
      workdir: its folder.
      domains: images.
      most: images of each.

    Raises:
      UserError: the run is not finished.
    """
    config = read_workdir(workdir).config
    trained = read_trained(workdir)
    about = assembled_adaptation(config, domains)
    watch = Watch(about, domains, workdir)
    answered = watch.answered(trained.meta)
    return answered.source.z[:most], answered.target.z[:most]
