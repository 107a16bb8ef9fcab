"""One run of a classifier of fixed classes, from settings to its record and its report."""

import dataclasses
import time
from contextlib import closing
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.config import Config
from metalearn.data.augment import augmentation
from metalearn.data.source import Dataset
from metalearn.errors import UserError
from metalearn.evaluation.scores import Scores, scores
from metalearn.learners.registry import STRATEGIES
from metalearn.learners.supervised import Settings, check, logits_of
from metalearn.ops.classification import balanced_weights
from metalearn.ops.optimizers import make_optimizer
from metalearn.parallel import replicate
from metalearn.records.labelled import (
    LabelledRecord,
    LabelledTest,
    measured_of,
    write_labelled,
)
from metalearn.records.record import Provenance, Stage
from metalearn.records.workdir import (
    Saved,
    forget_untrained,
    lineage_of,
    lock_workdir,
    open_workdir,
)
from metalearn.runtime import commit, device_name, peak_memory_mb
from metalearn.settings import Trained as GradientSettings
from metalearn.settings import narrowed
from metalearn.training.backbone import fixed_part
from metalearn.training.checkpoint import Checkpoints
from metalearn.training.loop import train
from metalearn.training.material import Material, features_of, images_of
from metalearn.training.metric_log import peak_memory_until, seconds_until
from metalearn.training.state import Run
from metalearn.training.step import TrainState
from metalearn.training.subject import exporter, judged, predictor, subject
from metalearn.training.supervised import initial, supervised_plan
from metalearn.training.trained import UNKNOWN, Best
from metalearn.transfer.probes import Probe, fit_probe
from metalearn.types import PyTree, random_key


class Outcome(NamedTuple):
    """A classifier and how it was tested.

    Attributes:
      ready: {body, classifier, moments}.
      best: which update, and how well it did on validation images.
      logits: float32 [M,C] of the test images.
      before: the same before any training; None of a probe.
      trained: numbers that were trained.
      seconds: of training or fitting.
      peak_memory_mb: of both, MiB.
      notes: what is to be said of it.
    """

    ready: PyTree
    best: Best
    logits: np.ndarray
    before: np.ndarray | None
    trained: int
    seconds: float
    peak_memory_mb: float
    notes: tuple[str, ...] = ()


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
    """Find settings that no dataset would make right before one is loaded.

    Raises:
      UserError: a number out of range, an unknown name, settings that contradict each other.
    """
    settings = narrowed(config, STRATEGIES[config.method].settings)
    settings.check()
    check(settings)
    if isinstance(settings, GradientSettings):
        make_optimizer(settings)
        augmentation(settings.augment)
    if isinstance(settings, Settings) and settings.patience and settings.labels:
        raise UserError(
            "--patience: with --labels there are no validation images to stop by: leave one out"
        )


def classify(run: Run, material: Material, command: str) -> Classified:
    """Train or fit the run's classifier, or find it done; test it.

    Args:
      run: settings and folder.
      material: body and images.
      command: that the record holds.

    Raises:
      UserError: settings that do not fit the body or the images, or files that cannot be written.
      Interrupted: SIGINT or SIGTERM, after saving.
    """
    (config, workdir, _) = run
    dataset = material.dataset
    lineage = lineage_of(config)
    saved = Saved(config, command, lineage, dataset.digest, dataset.decoder)
    open_workdir(workdir, saved)
    with lock_workdir(workdir):
        try:
            fitted = _probe if config.method == "probe" else _trained
            outcome = fitted(run, material)
        except UserError:
            forget_untrained(workdir)
            raise
        found = _judged(config, material, outcome, lineage, command)
        answers = np.stack([material.labelled.test.labels, outcome.logits.argmax(1)])
        write_labelled(workdir / "result.json", found.record, answers)
    path = workdir / "result.json"
    return found._replace(record=dataclasses.replace(found.record, path=path))


class Fitted(NamedTuple):
    """A probe.

    Attributes:
      probe: fitted to the features of the training images.
      features: of all images.
      seconds: that fitting took, once there were features.
    """

    probe: Probe
    features: Dataset
    seconds: float


def probe_of(material: Material, kind: str, weighted: bool) -> Fitted:
    """A probe fitted to the features of the training images.

    Args:
      material: body and images.
      kind: of the probe.
      weighted: whether every class counts as much as another.
    """
    mesh = material.place(images_of(material)).mesh
    features = features_of(material, mesh, None)
    (_, train, valid, _) = material.labelled
    classes = len(material.labelled.names)
    weights = np.asarray(balanced_weights(train.counts)) if weighted else None
    known = None if valid is None else (np.asarray(features.valid.images), valid.labels)
    z = np.asarray(features.train.images)
    begin = time.perf_counter()
    probe = fit_probe(kind, z, train.labels, classes, known, weights)
    return Fitted(probe, features, time.perf_counter() - begin)


def layer_of(probe: Probe) -> PyTree:
    """The probe as the layer that `logits_of` takes."""
    if probe.kind == "linear":
        return {"w": jnp.asarray(probe.w), "b": jnp.asarray(probe.b)}
    lengths = jnp.full(probe.w.shape[1], probe.scale, jnp.float32)
    parts = {"w": probe.w, "g": lengths, "b": probe.b, "centre": probe.centre}
    return {name: jnp.asarray(part) for name, part in parts.items()}


def _probe(run: Run, material: Material) -> Outcome:
    """A probe, with its classifier saved as that of a trained run."""
    config = run.config
    (probe, features, seconds) = probe_of(material, config.probe, config.class_weights)
    layer = layer_of(probe)
    fixed = fixed_part(material.body)
    ready = {"body": fixed["body"], "classifier": layer}
    if "moments" in fixed:
        ready |= {"moments": {"body": fixed["moments"]}}
    logits = np.asarray(logits_of(layer, jnp.asarray(features.test.images)))
    best = Best(UNKNOWN, 0)
    if material.labelled.valid is not None:
        valid = np.asarray(logits_of(layer, jnp.asarray(features.valid.images)))
        best = Best(judged(valid, features.valid).accuracy, 0)
    with closing(Checkpoints(run.workdir, clean=True)) as checkpoints:
        if checkpoints.latest_step() is None:
            checkpoints.save_best(0, ready, material.inputs)
            checkpoints.save(TrainState(jnp.int32(0), {"classifier": layer}, ()), best)
    trained = sum(x.size for x in jax.tree.leaves(layer))
    return Outcome(ready, best, logits, None, trained, seconds, peak_memory_mb(), (probe.note,))


def _trained(run: Run, material: Material) -> Outcome:
    """A classifier trained by gradient steps."""
    config = run.config
    begun = None
    notes: tuple[str, ...] = ()
    if STRATEGIES[config.method].probe:
        probe = probe_of(material, "logistic", config.class_weights).probe
        begun = layer_of(probe)
        notes = (probe.note,)
    about = subject(config, material, begun)
    plan = supervised_plan(about)
    (found,) = train([run], plan)
    predict = predictor(about)
    test = about.lab.dataset.test.images
    meta = replicate(initial(about, random_key(config.seed)), about.lab.mesh)
    before = predict(exporter(about)(meta), test)
    metrics = run.workdir / "metrics.jsonl"
    return Outcome(
        ready=found.meta,
        best=found.best,
        logits=predict(found.meta, test),
        before=before,
        trained=sum(x.size for name in ("body", "classifier") for x in jax.tree.leaves(meta[name])),
        seconds=seconds_until(metrics, config.steps),
        peak_memory_mb=max(peak_memory_until(metrics, config.steps), peak_memory_mb()),
        notes=notes,
    )


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
