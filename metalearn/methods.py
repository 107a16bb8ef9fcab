"""Methods by name: what each builds from a `Config`, for training and for test."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp

from metalearn.base import Head, Learner, Network
from metalearn.baselines.finetune import finetuned
from metalearn.baselines.supervised import pretrained
from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.learners.heads import nearest_centroid, nearest_neighbour, sgd_classifier
from metalearn.learners.logistic import logistic_regression
from metalearn.learners.maml import maml
from metalearn.learners.matchingnet import matchingnet
from metalearn.learners.metaoptnet import metaoptnet
from metalearn.learners.protonet import protonet
from metalearn.learners.r2d2 import r2d2
from metalearn.learners.relationnet import relationnet
from metalearn.learners.transductive import information_maximization, laplacian_shot
from metalearn.models import make_network, make_relation


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
    return make_network(config.backbone, _layers(config.norm), _dtype(config))


def _dtype(config: Config) -> jnp.dtype:
    return jnp.bfloat16 if config.precision == "bfloat16" else jnp.float32


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


Build = Callable[[Config, Network, int, str], Learner]  # of ways and norm


def _episodic(build: Build) -> Callable[[Config, int], Method]:
    """A method that trains the body through its head, in training episodes of any number of ways."""

    def make(config: Config, classes: int) -> Method:
        network = body(config)

        def test(norm: str) -> Learner:
            return build(config, network, config.ways, norm)

        return Method(build(config, network, config.train_ways, config.norm), test, (config.norm,))

    return make


def _protonet(config: Config, network: Network, ways: int, norm: str) -> Learner:
    return protonet(network, ways, config.distance, config.scale, norm)


def _matchingnet(config: Config, network: Network, ways: int, norm: str) -> Learner:
    return matchingnet(network, ways, config.scale, config.contextual, norm)


def _relationnet(config: Config, network: Network, ways: int, norm: str) -> Learner:
    if not config.backbone.endswith("-map"):
        raise UserError(f"relationnet compares feature maps: --backbone={config.backbone} has none, conv4-64-map does")
    return relationnet(network, make_relation(dtype=_dtype(config)), ways, norm)


def _r2d2(config: Config, network: Network, ways: int, norm: str) -> Learner:
    return r2d2(network, ways, config.scale, norm)


def _metaoptnet(config: Config, network: Network, ways: int, norm: str) -> Learner:
    return metaoptnet(network, ways, config.head, config.label_smoothing, norm)


def _supervised(classifier: str, head: Callable[[], Head], centre: bool = False) -> Callable[[Config, int], Method]:
    """A method that fits a head to the features of a body pre-trained with this classifier."""

    def build(config: Config, classes: int) -> Method:
        network = body(config)
        scale = 2.0 if classes <= 200 else 10.0

        def learner(norm: str) -> Learner:
            return pretrained(network, head(), config.ways, classes, classifier, scale, norm, centre)

        return Method(learner(config.norm), learner, (config.norm,), supervised=True)

    return build


TRANSFORMS = ("none", "l2", "cl2n")


def _simpleshot(config: Config, classes: int) -> Method:
    if config.transform not in TRANSFORMS:
        raise UserError(f"simpleshot's transform must be one of {', '.join(TRANSFORMS)}, not '{config.transform}'")
    head = partial(nearest_centroid, normalise=config.transform != "none")
    return _supervised("linear", head, centre=config.transform == "cl2n")(config, classes)


def _finetuned(transductive: bool) -> Callable[[Config, int], Method]:
    def build(config: Config, classes: int) -> Method:
        network, (lr, steps) = body(config), (config.inner_lr, config.test_inner_steps)

        def learner(norm: str) -> Learner:
            return finetuned(network, config.ways, classes, lr, steps, transductive, norm)

        return Method(learner(config.norm), learner, (config.norm,), supervised=True)

    return build


METHODS: dict[str, Callable[[Config, int], Method]] = {
    "maml": _gradient(),
    "fomaml": _gradient(first_order=True),
    "anil": _gradient("head"),
    "boil": _gradient("body"),
    "protonet": _episodic(_protonet),
    "matchingnet": _episodic(_matchingnet),
    "relationnet": _episodic(_relationnet),
    "r2d2": _episodic(_r2d2),
    "metaoptnet": _episodic(_metaoptnet),
    "baseline": _supervised("linear", lambda: sgd_classifier("linear")),
    "baseline++": _supervised("cosine", lambda: sgd_classifier("cosine")),
    "rfs": _supervised("linear", logistic_regression),
    "simpleshot": _simpleshot,
    "nearest_neighbour": _supervised("linear", nearest_neighbour),
    "laplacianshot": _supervised("linear", laplacian_shot, centre=True),
    "tim": _supervised("linear", information_maximization),
    "finetune": _finetuned(transductive=False),
    "transductive_finetune": _finetuned(transductive=True),
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
