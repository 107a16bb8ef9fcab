"""Methods by name: what each builds from a `Config`, for training and for test."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from metalearn.base import Head, Learner, Network
from metalearn.baselines.supervised import pretrained
from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.learners.cavia import cavia
from metalearn.learners.heads import sgd_classifier
from metalearn.learners.imaml import imaml
from metalearn.learners.logistic import logistic_regression
from metalearn.learners.maml import maml
from metalearn.learners.mamlpp import mamlpp
from metalearn.learners.protonet import protonet
from metalearn.learners.reptile import reptile
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


def _gradient(build: Callable[[Config, Network, str], Learner], before: bool = True) -> Callable[[Config, int], Method]:
    """A method with an inner loop: `build(config, network, norm)` with the inner loop that the config has.

    before is False where no step at all is a method of another kind, not a prediction without adapting.
    """

    def make(config: Config, classes: int) -> Method:
        if config.train_ways != config.ways:
            raise UserError(f"{config.method} has one output a class: --train_ways must equal --ways ({config.ways})")
        network = body(config)
        tested = dataclasses.replace(config, inner_steps=config.test_inner_steps, inner_batch=config.test_inner_batch)
        unadapted = dataclasses.replace(tested, inner_steps=0)
        return Method(
            train=build(config, network, config.norm),
            test=lambda norm: build(tested, network, norm),
            norms=("batch", "support") if config.norm in ("batch", "support") else (config.norm,),
            before=(lambda norm: build(unadapted, network, norm)) if before else None,
        )

    return make


def _maml(
    adapts: str = "all", first_order: bool = False, head: str = "own", learned_rates: bool = False
) -> Callable[[Config, Network, str], Learner]:
    """Of MAML's body, see `maml`; what a name stands for no flag can change."""

    def build(config: Config, network: Network, norm: str) -> Learner:
        first = first_order or config.first_order
        return maml(network, config.ways, config.inner_lr, config.inner_steps, first, adapts, norm, head, learned_rates)

    return build


def _reptile(config: Config, network: Network, norm: str) -> Learner:
    return reptile(network, config.ways, config.inner_lr, config.inner_steps, config.inner_batch, norm)


def _mamlpp(config: Config, network: Network, norm: str) -> Learner:
    anneal = config.multi_step, config.first_order_steps
    return mamlpp(network, config.ways, config.inner_lr, config.inner_steps, *anneal, norm)


def _imaml(config: Config, network: Network, norm: str) -> Learner:
    solve = config.inner_lr, config.inner_steps, config.proximal, config.cg_steps
    return imaml(network, config.ways, *solve, norm)


def _cavia(config: Config, network: Network, norm: str) -> Learner:
    inner = config.inner_lr, config.inner_steps, config.context
    return cavia(network, config.ways, *inner, config.first_order, norm)


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
    "maml": _gradient(_maml()),
    "fomaml": _gradient(_maml(first_order=True)),
    "anil": _gradient(_maml("head")),
    "boil": _gradient(_maml("body")),
    "reptile": _gradient(_reptile),
    "meta_sgd": _gradient(_maml(learned_rates=True)),
    "maml++": _gradient(_mamlpp),
    "imaml": _gradient(_imaml),
    "cavia": _gradient(_cavia),
    "proto_maml": _gradient(_maml(head="prototypes"), before=False),  # 0 steps: prototypical networks
    "unicorn_maml": _gradient(_maml(head="shared")),
    "protonet": _protonet,
    "baseline": _supervised("linear", lambda: sgd_classifier("linear")),
    "baseline++": _supervised("cosine", lambda: sgd_classifier("cosine")),
    "rfs": _supervised("linear", logistic_regression),
}

FIRST_ORDER = ("fomaml", "anil", "boil", "cavia", "proto_maml", "unicorn_maml")  # that --first_order may be given to


def make_method(config: Config, classes: int) -> Method:
    """The method of this name for a training split of `classes` classes.

    Raises:
      UserError: unknown method, or settings that do not fit it.
    """
    if config.method not in METHODS:
        raise UserError(f"unknown method '{config.method}': choose one of {', '.join(METHODS)}")
    if config.first_order and config.method not in FIRST_ORDER:
        raise UserError(f"--first_order is not for {config.method}; first-order MAML is --method=fomaml")
    method = METHODS[config.method](config, classes)

    def test(norm: str) -> Learner:
        if _layers(norm) != _layers(config.norm):
            raise UserError(f"--test_norms {norm} does not fit a network trained with {config.norm} layers")
        return method.test(norm)

    return method._replace(test=test)
