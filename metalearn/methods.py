"""Methods by name: what each builds from a `Config`, for training and for test."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from metalearn.base import Head, Learner, Network
from metalearn.baselines.supervised import pretrained
from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.learners.heads import sgd_classifier
from metalearn.learners.logistic import logistic_regression
from metalearn.learners.maml import maml
from metalearn.learners.protonet import protonet
from metalearn.models import make_network


class Method(NamedTuple):
    """A method ready to run.

    Attributes:
      train: the learner whose loss is trained.
      test: `(norm) -> learner` tested on the same meta-parameters.
      norms: normalisations it is tested under unless told otherwise.
      before: `(norm) -> learner` that predicts without adapting, or None where that means nothing.
      supervised: trained on batches of base-class images, not on episodes.
    """

    train: Learner
    test: Callable[[str], Learner]
    norms: tuple[str, ...]
    before: Callable[[str], Learner] | None = None
    supervised: bool = False


def _layers(norm: str) -> str:
    """The kind of `Norm` in the network: batch, running and support differ only in where its moments come from."""
    return norm if norm in ("group", "layer", "none") else "batch"


def body(config: Config) -> Network:
    """The network of the config's backbone, normalisation and precision."""
    return make_network(
        config.backbone, _layers(config.norm), jnp.bfloat16 if config.precision == "bfloat16" else jnp.float32
    )


def _gradient(adapts: str = "all", first_order: bool = False) -> Callable[[Config, int], Method]:
    """A method of MAML's body, see `maml`; what a name stands for no flag can change."""

    def make(config: Config, classes: int) -> Method:
        network = body(config)
        first = first_order or config.first_order

        def build(norm: str, steps: int) -> Learner:
            return maml(network, config.ways, config.inner_lr, steps, first, adapts, norm)

        if config.method == "maml" and first:
            raise UserError("first-order MAML has a name of its own: --method=fomaml")
        if config.train_ways != config.ways:
            raise UserError(f"{config.method} has one output a class: --train_ways must equal --ways ({config.ways})")
        return Method(
            train=build(config.norm, config.inner_steps),
            test=lambda norm: build(norm, config.test_inner_steps),
            norms=("batch", "support") if config.norm in ("batch", "support") else (config.norm,),
            before=lambda norm: build(norm, 0),
        )

    return make


def _protonet(config: Config, classes: int) -> Method:
    network = body(config)

    def build(ways: int, norm: str) -> Learner:
        return protonet(network, ways, config.distance, config.scale, norm)

    return Method(build(config.train_ways, config.norm), lambda norm: build(config.ways, norm), (config.norm,))


def _supervised(classifier: str, head: Callable[[], Head]) -> Callable[[Config, int], Method]:
    def build(config: Config, classes: int) -> Method:
        network = body(config)
        scale = 2.0 if classes <= 200 else 10.0

        def learner(norm: str) -> Learner:
            return pretrained(network, head(), config.ways, classes, classifier, scale, norm)

        return Method(learner(config.norm), learner, (config.norm,), supervised=True)

    return build


METHODS: dict[str, Callable[[Config, int], Method]] = {
    "maml": _gradient(),
    "fomaml": _gradient(first_order=True),
    "anil": _gradient("head"),
    "boil": _gradient("body"),
    "protonet": _protonet,
    "baseline": _supervised("linear", lambda: sgd_classifier("linear")),
    "baseline++": _supervised("cosine", lambda: sgd_classifier("cosine")),
    "rfs": _supervised("linear", logistic_regression),
}


def make_method(config: Config, classes: int) -> Method:
    """The method of this name for a training split of `classes` classes.

    Raises:
      UserError: unknown method, or settings that do not fit it.
    """
    if config.method not in METHODS:
        raise UserError(f"unknown method '{config.method}': choose one of {', '.join(METHODS)}")
    method = METHODS[config.method](config, classes)

    def test(norm: str) -> Learner:
        if _layers(norm) != _layers(config.norm):
            raise UserError(f"--test_norms {norm} does not fit a network trained with {config.norm} layers")
        return method.test(norm)

    return method._replace(test=test)
