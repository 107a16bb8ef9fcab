"""One run of a classifier of fixed classes, from settings to its record and its report."""

import dataclasses
from typing import NamedTuple

import jax
import numpy as np

from metalearn.classifiers.fitting import Outcome, by_probe, by_training
from metalearn.classifiers.source import Source, remembered
from metalearn.config import Config
from metalearn.data.augment import augmentation
from metalearn.errors import UserError
from metalearn.evaluation.scores import Scores, check_installed, scores
from metalearn.learners.registry import STRATEGIES
from metalearn.learners.supervised import Settings, check
from metalearn.ops.optimizers import make_optimizer
from metalearn.records.labelled import LabelledRecord, LabelledTest, measured_of
from metalearn.records.labelled_store import write_labelled
from metalearn.records.record import Provenance, Stage
from metalearn.records.seen import learned_by
from metalearn.records.workdir import (
    Saved,
    hold_workdir,
    lineage_of,
)
from metalearn.runtime import commit, device_name
from metalearn.settings import Trained, narrowed
from metalearn.training.material import Material
from metalearn.training.state import Run


class Classified(NamedTuple):
    """A tested classifier.

    Attributes:
      record: of the test.
      before, after: scores on the test images; `before` is None of a probe.
      logits: float32 [M,C] of the test images.
      notes: what is to be said of it.
    """

    record: LabelledRecord
    before: Scores | None
    after: Scores
    logits: np.ndarray
    notes: tuple[str, ...]


def check_classifier(config: Config) -> None:
    """Find settings that no dataset would make right before one is loaded, and a missing package.

    Raises:
      UserError: a number out of range, an unknown name, settings that contradict each other; or
        scikit-learn is not installed.
    """
    check_installed()
    settings = narrowed(config, STRATEGIES[config.method].settings)
    settings.check()
    check(settings)
    if isinstance(settings, Trained):
        make_optimizer(settings)
        augmentation(settings.augment)
    if isinstance(settings, Settings) and settings.patience and settings.labels:
        raise UserError(
            "--patience: with --labels there are no validation images to stop by: leave one out"
        )


def classify(
    run: Run, material: Material, command: str, source: Source | None = None
) -> Classified:
    """Train or fit the run's classifier, or find it done; test it.

    Args:
      run: settings and folder.
      material: body and images.
      command: that the record holds.
      source: classes that the body was trained on before, to be tested before and after.

    Raises:
      UserError: settings that do not fit the body or the images, or files that cannot be written.
      Interrupted: SIGINT or SIGTERM, after saving.
    """
    (config, workdir, _) = run
    dataset = material.dataset
    lineage = lineage_of(config)
    learned = learned_by(config, material.labelled.names)
    saved = Saved(config, command, lineage, dataset.digest, dataset.decoder, learned)
    with hold_workdir(workdir, saved):
        fitted = by_probe if config.method == "probe" else by_training
        outcome = fitted(run, material)
        found = _judged(config, material, outcome, lineage, command)
        if source is not None:
            kept = remembered(material, source, outcome.ready)
            measured = dataclasses.replace(
                found.record.measured,
                source_accuracy_before=kept.before,
                source_accuracy=kept.after,
            )
            found = found._replace(record=dataclasses.replace(found.record, measured=measured))
        answers = np.stack([material.labelled.test.labels, outcome.logits.argmax(1)])
        write_labelled(workdir / "result.json", found.record, answers)
    path = workdir / "result.json"
    return found._replace(record=dataclasses.replace(found.record, path=path))


def _judged(
    config: Config,
    material: Material,
    outcome: Outcome,
    lineage: tuple[Stage, ...],
    command: str,
) -> Classified:
    """The scores of an outcome, and its record."""
    (names, _, valid, test) = material.labelled
    after = scores(outcome.logits, test.labels, names)
    before = None if outcome.before is None else scores(outcome.before, test.labels, names)
    whole = {name: outcome.ready[name] for name in ("body", "classifier")}
    measured = measured_of(
        after,
        accuracy_before=None if before is None else before.accuracy,
        macro_recall_before=None if before is None else before.macro_recall,
        valid_accuracy=None if valid is None else round(outcome.best.accuracy, 6),
        trained_parameters=int(outcome.trained),
        parameters=int(sum(x.size for x in jax.tree.leaves(whole))),
        adapt_s=round(outcome.seconds, 2),
        peak_memory_mb=outcome.peak_memory_mb,
    )
    dataset = material.dataset
    provenance = Provenance(command, commit(), device_name(), dataset.images, dataset.decoder)
    tested = LabelledTest(material.labelled.hash, len(test.rows), outcome.best.step)
    record = LabelledRecord(config, tested, measured, lineage, provenance)
    return Classified(record, before, after, outcome.logits, outcome.notes)
