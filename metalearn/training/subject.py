"""A classifier about to be trained, and what it becomes once it is."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.config import Config
from metalearn.data.mixup import mixup
from metalearn.data.sampler import Sampler
from metalearn.data.source import Split
from metalearn.errors import UserError
from metalearn.evaluation.blocks import Blocks
from metalearn.evaluation.calibration import calibration_error
from metalearn.evaluation.metrics import Result, episode_metrics
from metalearn.evaluation.statistics import running_statistics
from metalearn.learners.method import precision_of
from metalearn.learners.registry import STRATEGIES
from metalearn.learners.supervised import Classifier, Settings, classifier
from metalearn.models.lora import adapted
from metalearn.ops.classification import balanced_weights
from metalearn.settings import narrowed
from metalearn.training.backbone import fixed_part, lacks_statistics, stages_before, tail
from metalearn.training.lab import Lab
from metalearn.training.material import Material, features_of, images_of
from metalearn.training.parts import training_sampler
from metalearn.types import Array, Batch, ClassSource, Key, PyTree


class Subject(NamedTuple):
    """A classifier about to be trained.

    Attributes:
      config: the settings.
      material: body and images.
      lab: the images on the devices, or their features where the first stages are computed already.
      cached: whether they are features.
      learner: the classifier, of the stages from the first trained one on.
      begun: the classifier's layer to begin with; None for random weights.
    """

    config: Config
    material: Material
    lab: Lab
    cached: bool
    learner: Classifier
    begun: PyTree | None = None

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of the network that is trained, frozen ones among them too."""
        body = self.material.body
        return body.stages[len(stages_before(body, self.material.division.first)) :]


def check_trainable(config: Config, material: Material) -> None:
    """See that the body and the images have what the settings read, before features are computed.

    Raises:
      UserError: no validation images to stop by, no stages to train one after the other, or no
        running statistics, without which features of an image depend on those beside it.
    """
    body = material.body
    if config.patience and material.labelled.valid is None:
        raise UserError("--patience: there are no validation images to stop by: leave it out")
    if not body.stages and (config.method == "gradual" or config.layer_decay != 1):
        what = "gradual trains" if config.method == "gradual" else "--layer_decay slows down"
        raise UserError(
            f"{what} one stage after the other, and {config.backbone} has none: choose "
            "--strategy=fine_tune without --layer_decay, or another body"
        )
    if not lacks_statistics(body):
        return
    if config.statistics != "batch":
        raise UserError(
            f"--statistics={config.statistics}: this {config.backbone} has no running statistics "
            "yet: give --statistics=batch"
        )
    if config.start == "probe":
        raise UserError(
            f"--start=probe: this {config.backbone} has no running statistics yet, so an image's "
            "features depend on those beside it: give --start=random"
        )


def subject(config: Config, material: Material, begun: PyTree | None = None) -> Subject:
    """The classifier of these settings and its data.

    Args:
      config: the settings.
      material: body and images.
      begun: the classifier's layer to begin with.

    Raises:
      UserError: settings that do not fit each other, the body or the data.
    """
    first = material.division.first
    cached = first is not None and config.augment == "none" and not config.mixup
    lab = material.place(features_of(material, first) if cached else images_of(material))
    settings = narrowed(config, STRATEGIES[config.method].settings)
    assert isinstance(settings, Settings)
    if settings.statistics == "batch" and config.method in ("partial", "lora"):
        raise UserError(
            f"--statistics=batch: the running statistics of what {config.method} freezes stay; "
            "leave it out"
        )
    weights = balanced_weights(material.labelled.train.counts) if config.class_weights else None
    network = tail(material.body, first, precision_of(config))
    adapt = adapted if config.method == "lora" else None
    return Subject(
        config, material, lab, cached, classifier(network, settings, weights, adapt), begun
    )


def sampler_of(subject: Subject) -> Sampler:
    """Draws batches of images or features, mixed where the config says so."""
    config = subject.config
    sampler = training_sampler(config, subject.lab, True)
    if not config.mixup:
        return sampler

    def make(key: Key, source: ClassSource) -> Batch:
        return mixup(jax.random.fold_in(key, 1), sampler.make(key, source), config.mixup)

    return Sampler(sampler.rows, make)


def exporter(subject: Subject) -> Callable[[PyTree], PyTree]:
    """`meta -> ready`: the whole body, its running statistics, the classifier."""
    (config, material, lab) = subject[:3]
    learner = subject.learner
    before = stages_before(material.body, material.division.first)
    known = fixed_part(material.body, before) if before else {}
    if config.statistics == "batch":
        network = material.body.network

        def measure(meta: PyTree, x: Array, known: PyTree | None = None) -> PyTree:
            return {"body": network.moments(learner.body(meta), x)}

        measured = running_statistics(measure, lab.train, sampler_of(subject))
    whole = jax.jit(learner.body)

    def ready(meta: PyTree) -> PyTree:
        if config.statistics == "batch":
            moments = measured(meta)["moments"]["body"]
        else:
            moments = known.get("moments", {}) | meta.get("fixed", {}).get("moments", {})
        body = known.get("body", {}) | whole(meta)
        found = {"body": body, "classifier": meta["classifier"]}
        return found | ({"moments": {"body": moments}} if moments else {})

    return ready


def predictor(subject: Subject) -> Callable[[PyTree, np.ndarray], np.ndarray]:
    """`(ready, images or features [M,...]) -> logits float32 [M,C]`, as the lab holds them."""
    learner = subject.learner
    if subject.material.division.first is not None and not subject.cached:
        network = tail(subject.material.body, None, precision_of(subject.config))
        settings = narrowed(subject.config, Settings)
        learner = classifier(network, settings)
    prepare = subject.lab.prepare
    return Blocks(lambda ready, x: learner.classify(ready, prepare(x)), subject.lab.mesh)


def validator(subject: Subject) -> Callable[[PyTree], Result]:
    """`ready -> Result` on the validation images; of each image, whether it is right."""
    predict = predictor(subject)
    split = subject.lab.dataset.valid
    return lambda ready: judged(predict(ready, split.images), split)


def judged(logits: np.ndarray, split: Split) -> Result:
    """What logits [M,C] of a split's images are worth."""
    labels = np.repeat(np.arange(len(split.counts)), split.counts)
    found = jax.device_get(episode_metrics(jnp.asarray(logits), jnp.asarray(labels)))
    right = (logits.argmax(-1) == labels).astype(np.float32)
    error = calibration_error(found["calibration"].astype(np.float64))
    return Result(right, float(found["loss"]), error, 0.0)
