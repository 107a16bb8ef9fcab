"""Classifiers of fixed classes, trained on labelled images: from scratch, or from a trained body.

    probe       a classifier is fitted to the features of a body that stays as it is
    partial     the first stages of the body stay as they are, the others are trained
    fine_tune   all of the body is trained
    gradual     the stages are trained from the last to the first one, each beginning later than the
                one after it (Howard & Ruder 2018, "Universal Language Model Fine-tuning")
    lora        the body stays as it is, low-rank matrices added to its kernels are trained (Hu et
                al. 2022)
    scratch     all of a body with random weights is trained

Where a trained body is trained further, the classifier begins as a probe (Kumar et al. 2022,
"Fine-Tuning can Distort Pretrained Features": a random one would pull features out of place).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax

from metalearn.errors import UserError
from metalearn.learners.recipes import Recipe
from metalearn.ops.classification import classification_loss
from metalearn.ops.classifier import classify
from metalearn.ops.losses import accuracy
from metalearn.settings import Batched, Common, Smoothed, setting
from metalearn.types import Array, Batch, Info, Key, Network, PyTree

STATISTICS = ("pretrained", "batch")
KINDS = ("ridge", "logistic", "centroid")


@dataclass(frozen=True)
class Classifying(Common):
    """What every classifier of fixed classes reads."""

    labels: int = setting(
        0, "labelled images a class to train on, drawn by --seed (0: all)", least=0
    )
    learned: str = setting(
        "test",
        "test, or valid to choose settings by: where test classes are new, the classes of that "
        "split are learned, each from one half of its images and tested on the other; else the "
        "images of that split are tested",
    )
    class_weights: bool = setting(
        False, "losses are weighted so that every class counts as much as another"
    )


@dataclass(frozen=True)
class ProbeSettings(Classifying):
    """What a probe reads."""

    probe: str = setting("ridge", f"classifier of a probe: {', '.join(KINDS)}")


@dataclass(frozen=True)
class Settings(Classifying, Batched, Smoothed):
    """What every classifier reads that is trained by gradient steps."""

    loss: str = setting("cross_entropy", "cross_entropy, or squared (of one-hot labels)")
    mixup: float = setting(0.0, "parameter of mixup's beta distribution (0: none)", least=0)
    head_lr: float = setting(1.0, "learning rate of the classifier, times --lr", least=0)
    layer_decay: float = setting(
        1.0, "learning rate of each stage, times that of the stage after it", least=0
    )
    start: str = setting(
        "probe", "what the classifier begins as: probe (ridge, of the body as it came) or random"
    )
    statistics: str = setting(
        "pretrained",
        "what normalisation uses in training: pretrained (running statistics that the body came "
        "with) or batch (then they are measured again for the test)",
    )
    patience: int = setting(
        0, "validations without a better one after which training ends (0: none)", least=0
    )


@dataclass(frozen=True)
class PartialSettings(Settings):
    """What partial fine-tuning reads."""

    freeze: str = setting(
        "", "stages that stay as they are, comma-separated (empty: all but the last two)"
    )


@dataclass(frozen=True)
class AdapterSettings(Settings):
    """What the training of low-rank adapters reads."""

    rank: int = setting(8, "of the adapters of lora", least=1)


class Strategy(NamedTuple):
    """How a body becomes a classifier of other classes.

    Attributes:
      settings: the dataclass of the settings that it reads.
      recipe: `(dataset, labels) -> settings`, where they are not at their defaults.
      random: the body begins with random weights.
    """

    settings: type[Classifying]
    recipe: Callable[[str, int], Recipe]
    random: bool = False


class Classifier(NamedTuple):
    """A classifier of fixed classes as pure functions.

    While it is trained its parameters are {body, classifier}, and {fixed} where some of the body's
    are not trained: those and its running statistics, {body, moments}. Once `ready` they are
    {body, classifier, moments}, the latter {body}, as few-shot methods have them.

    Attributes:
      loss: `(key, meta, batch, step) -> (scalar, info)` of a `Batch`.
      body: `meta -> ` all parameters of the network.
      classify: `(ready, x [B,...]) -> logits [B,C]`.
    """

    loss: Callable[..., tuple[Array, Info]]
    body: Callable[[PyTree], PyTree]
    classify: Callable[[PyTree, Array], Array]


def classifier(
    network: Network,
    settings: Settings,
    weights: Array | None = None,
    adapted: Callable[[PyTree, PyTree], PyTree] | None = None,
) -> Classifier:
    """The classifier of these settings.

    Args:
      network: what turns images, or features of the stages that are not trained, into features.
      settings: of the training.
      weights: [C] of the classes in the loss; None for equal ones.
      adapted: `(body, adapters) -> body`, where adapters are trained in place of the body.

    Raises:
      UserError: an unknown loss or kind of statistics.
    """
    check(settings)

    def body(meta: PyTree) -> PyTree:
        fixed = jax.lax.stop_gradient(meta.get("fixed", {}).get("body", {}))
        if adapted is not None:
            return adapted(fixed, meta["body"])
        return fixed | meta["body"]

    def loss(key: Key, meta: PyTree, batch: Batch, step: Array | int = 0) -> tuple[Array, Info]:
        moments = jax.lax.stop_gradient(meta.get("fixed", {}).get("moments"))
        z = network.apply(body(meta), batch.x, moments, key)
        logits = logits_of(meta["classifier"], z)
        value = classification_loss(logits, batch, settings.loss, settings.label_smoothing, weights)
        return value, {"loss": value, "accuracy": accuracy(logits, batch.y)}

    def classified(ready: PyTree, x: Array) -> Array:
        moments = ready["moments"]["body"] if "moments" in ready else None
        return logits_of(ready["classifier"], network.apply(ready["body"], x, moments))

    return Classifier(loss, body, classified)


def logits_of(layer: PyTree, z: Array) -> Array:
    """Logits [B,C] of features z [B,D]: linear, or of cosines where the layer has a centre."""
    if "centre" not in layer:
        return classify("linear", layer, z)
    return classify("cosine", layer, z - layer["centre"]) + layer["b"]


def check(settings: Classifying) -> None:
    """See that the settings' words are known.

    Raises:
      UserError: one is not.
    """
    known = {
        "learned": ("test", "valid"),
        "probe": KINDS,
        "loss": ("cross_entropy", "squared"),
        "start": ("probe", "random"),
        "statistics": STATISTICS,
    }
    for name, words in known.items():
        word = getattr(settings, name, words[0])
        if word not in words:
            raise UserError(f"--{name}={word} is unknown: choose {' or '.join(words)}")
    if settings.method == "scratch" and getattr(settings, "start", "") == "probe":
        raise UserError("--start=probe: a body with random weights has no features to probe")
    if isinstance(settings, ProbeSettings) and settings.steps:
        raise UserError("--steps: a probe is fitted, not trained; leave it out")
