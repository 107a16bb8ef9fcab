"""Classifiers fitted to features, or trained by gradient steps; what is known of them then."""

import time
from contextlib import closing
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.data.source import Dataset
from metalearn.learners.supervised import logits_of
from metalearn.ops.classification import balanced_weights
from metalearn.parallel import replicate
from metalearn.runtime import peak_memory_mb
from metalearn.training.backbone import with_classifier
from metalearn.training.checkpoint import Checkpoints
from metalearn.training.loop import train
from metalearn.training.material import Material, features_of
from metalearn.training.metric_log import peak_memory_until, seconds_until
from metalearn.training.state import Run
from metalearn.training.step import TrainState
from metalearn.training.subject import check_trainable, exporter, judged, predictor, subject
from metalearn.training.supervised import initial, supervised_plan
from metalearn.training.trained import UNKNOWN, Best
from metalearn.transfer.probes import Probe, as_classifier, fit_probe
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


def probe_of(
    material: Material,
    kind: str,
    weighted: bool,
    parts: tuple[str, ...] = ("train", "valid", "test"),
) -> Fitted:
    """A probe fitted to the features of the training images.

    Args:
      material: body and images.
      kind: of the probe.
      weighted: whether every class counts as much as another.
      parts: of the images whose features are computed.
    """
    features = features_of(material, None, parts)
    (_, train, valid, _) = material.labelled
    classes = len(material.labelled.names)
    # Classes without images, which have no weight, are left out of the fit
    weights = np.where(train.counts, balanced_weights(train.counts), 1) if weighted else None
    known = None if valid is None else (np.asarray(features.valid.images), valid.labels)
    z = np.asarray(features.train.images)
    begin = time.perf_counter()
    probe = fit_probe(kind, z, train.labels, classes, known, weights)
    return Fitted(probe, features, time.perf_counter() - begin)


def layer_of(probe: Probe) -> PyTree:
    """The probe as the layer that `logits_of` takes."""
    if probe.kind == "linear":
        return jax.tree.map(jnp.asarray, as_classifier(probe, len(probe.w)))
    lengths = jnp.full(probe.w.shape[1], probe.scale, jnp.float32)
    parts = {"w": probe.w, "g": lengths, "b": probe.b, "centre": probe.centre}
    return {name: jnp.asarray(part) for name, part in parts.items()}


def by_probe(run: Run, material: Material) -> Outcome:
    """A probe, with its classifier saved as that of a trained run."""
    config = run.config
    (probe, features, seconds) = probe_of(material, config.probe, config.class_weights)
    layer = layer_of(probe)
    ready = with_classifier(material.body, layer)
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


def by_training(run: Run, material: Material) -> Outcome:
    """A classifier trained by gradient steps."""
    config = run.config
    begun = None
    notes: tuple[str, ...] = ()
    before_training = 0.0
    check_trainable(config, material)
    if config.start == "probe":
        parts = ("train", "valid")
        (probe, _, before_training) = probe_of(material, "ridge", config.class_weights, parts)
        begun = layer_of(probe)
        if config.loss == "squared":  # its targets are 1 and 0, as those of the regression
            begun = {name: part / probe.scale for name, part in begun.items()}
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
        seconds=before_training + seconds_until(metrics, config.steps),
        peak_memory_mb=max(peak_memory_until(metrics, config.steps), peak_memory_mb()),
        notes=notes,
    )
