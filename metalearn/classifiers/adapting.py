"""One run that trains a body for another domain: from both domains' images to its outcomes."""

import dataclasses
from pathlib import Path

import numpy as np

from metalearn.classifiers.judged import OUTCOMES, Domains, Judge, labels_of, read_outcomes
from metalearn.config import Config
from metalearn.data.augment import augmentation
from metalearn.data.source import Split
from metalearn.domains.deep.registry import DEEP
from metalearn.domains.deep.settings import Settings
from metalearn.domains.few import few_of_each
from metalearn.domains.trial import Outcome
from metalearn.errors import UserError
from metalearn.evaluation.scores import check_installed
from metalearn.learners.method import layers_of, precision_of
from metalearn.models import flattened, is_pretrained, make_network
from metalearn.ops.optimizers import make_optimizer
from metalearn.records.seen import learned_by
from metalearn.records.workdir import (
    Saved,
    hold_workdir,
    lineage_of,
    read_workdir,
)
from metalearn.retest import read_trained
from metalearn.settings import narrowed
from metalearn.training.adaptation import adaptation_plan
from metalearn.training.domain_batches import Adaptation, without_labels
from metalearn.training.lab import Lab
from metalearn.training.loop import train
from metalearn.training.metric_log import seconds_until
from metalearn.training.state import Run
from metalearn.types import Network

NORMS = ("running", "group", "layer", "none")
BOTTLENECK = "bottleneck"
LEAST = 2  # images of a batch, of fewer there is no covariance


def check_adaptation(config: Config) -> None:
    """Find settings that no images would make right before any are loaded.

    Raises:
      UserError: a number out of range, an unknown name, settings that contradict each other.
    """
    check_installed()
    narrowed(config, Settings).check()
    make_optimizer(config)
    augmentation(config.augment)
    if config.norm not in NORMS:
        raise UserError(f"--norm={config.norm}: choose one of {', '.join(NORMS)}")
    if config.batch_size < LEAST:
        raise UserError(
            f"--batch_size={config.batch_size}: statistics of a batch need {LEAST} images of each "
            "domain or more"
        )
    if DEEP[config.method].needs_labels and not config.target_labels:
        raise UserError(
            f"{config.method} is trained on labelled images of the target: give --target_labels"
        )
    if not DEEP[config.method].trains and layers_of(config.norm) != "batch":
        raise UserError(
            f"{config.method} changes the statistics of batch normalisation, and "
            f"--norm={config.norm} has none: leave one of them out"
        )
    _check_body(config)


def _check_body(config: Config) -> None:
    """See that the settings of the body fit each other.

    Raises:
      UserError: they do not.
    """
    if config.bottleneck:
        if not is_pretrained(config.backbone):
            raise UserError(
                "--bottleneck is trained on the features of a pre-trained body, and "
                f"{config.backbone} is none: choose such a --backbone"
            )
        if config.augment != "none":
            raise UserError(
                f"--augment={config.augment}: --bottleneck is trained on features, and not on "
                "images: leave one of them out"
            )
        return
    if is_pretrained(config.backbone):
        raise UserError(
            f"{config.backbone} is pre-trained: a dense layer on its features is trained by "
            "--bottleneck; or choose another --backbone"
        )
    if config.backbone == BOTTLENECK:
        raise UserError(
            "--backbone=bottleneck takes features and no images: name the body whose features by "
            "--backbone, and add --bottleneck"
        )
    for name in ("weights", "input_size"):
        if getattr(config, name):
            raise UserError(
                f"--{name} is of pre-trained bodies, and {config.backbone} is none: leave it out"
            )


def network_of(config: Config) -> Network:
    """What is trained: the backbone, or a dense layer on its features."""
    name = BOTTLENECK if config.bottleneck else config.backbone
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
    source = lab.train._replace(
        starts=lab.train.starts[:1] * 0, counts=lab.train.counts.sum()[None]
    )
    return lab._replace(dataset=lab.dataset._replace(train=train_split), train=source)


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
    learned = learned_by(config, domains.names)
    lineage = lineage_of(config)
    saved = Saved(config, command, lineage, domains.digest, classes=learned)
    with hold_workdir(workdir, saved):
        judge = Judge(about, domains, workdir)
        train([run], adaptation_plan(about, judge))
        found = read_outcomes(workdir / OUTCOMES)
    metrics = workdir / "metrics.jsonl"
    steps = sorted(judged_steps(config))
    if not found.keys() >= set(steps):
        raise UserError(
            f"{workdir / OUTCOMES} lacks some of the run's validations: delete {workdir}, and run "
            "the same command again"
        )
    return {
        step: dataclasses.replace(found[step], adapt_s=seconds_until(metrics, step))
        for step in steps
    }


def judged_steps(config: Config) -> list[int]:
    """The updates after which a state is judged, the last one first."""
    return [config.steps, *range(config.valid_every, config.steps, config.valid_every)]


def features_of_run(workdir: Path, domains: Domains, most: int) -> tuple[np.ndarray, np.ndarray]:
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
    judge = Judge(about, domains, workdir)
    (source, target) = judge.aligned(trained.meta)
    return source[:most], target[:most]
