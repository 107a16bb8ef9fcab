"""Methods by name: what each builds from a `Config`, for training and for test."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.learners.cavia import cavia
from metalearn.learners.finetune import finetuned
from metalearn.learners.heads import nearest_centroid, nearest_neighbour, sgd_classifier
from metalearn.learners.imaml import imaml
from metalearn.learners.logistic import logistic_regression
from metalearn.learners.maml import maml
from metalearn.learners.mamlpp import mamlpp
from metalearn.learners.matchingnet import matchingnet
from metalearn.learners.metaoptnet import metaoptnet
from metalearn.learners.pretrained import pretrained
from metalearn.learners.protonet import protonet
from metalearn.learners.r2d2 import r2d2
from metalearn.learners.relationnet import relationnet
from metalearn.learners.reptile import reptile
from metalearn.learners.transductive import information_maximization, laplacian_shot
from metalearn.models import flattened, make_network, make_relation, mirrored
from metalearn.types import Head, Learner, Network


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
    """The kind of `Norm` in the network: batch, running and support differ only in where its
    moments come from.
    """
    return norm if norm in ("group", "layer", "none") else "batch"


def body(config: Config, shared: bool, maps: bool = False) -> Network:
    """The network of the config's backbone, normalisation and precision.

    shared: all tasks have the same weights; maps: feature maps stay maps, and are not flattened.
    """
    network = make_network(
        config.backbone, _layers(config.norm), _dtype(config), shared, config.initial
    )
    return network if maps else flattened(network)


def _dtype(config: Config) -> jnp.dtype:
    return jnp.bfloat16 if config.precision == "bfloat16" else jnp.float32


# Of base classes, and whether training shares kernels: `make_method`
Maker = Callable[[Config, int, bool], Method]


def _gradient(build: Callable[[Config, Network, str], Learner], before: bool = True) -> Maker:
    """A method with an inner loop: `build(config, network, norm)` with the inner loop that the
    config has.

    before is False where no step at all is a method of another kind, not a prediction without
    adapting.
    """

    def make(config: Config, classes: int, shared: bool) -> Method:
        if config.train_ways != config.ways:
            trained = f"the --train_ways={config.train_ways} of its training"
            raise UserError(
                f"{config.method} has one output a class: --ways={config.ways} must equal {trained}"
            )
        network = body(config, shared=False)
        tested = dataclasses.replace(
            config, inner_steps=config.test_inner_steps, inner_batch=config.test_inner_batch
        )
        unadapted = dataclasses.replace(tested, inner_steps=0)
        return Method(
            train=build(config, body(config, shared), config.norm),
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
        return maml(
            network,
            config.ways,
            config.inner_lr,
            config.inner_steps,
            first,
            adapts,
            norm,
            head,
            learned_rates,
        )

    return build


def _reptile(config: Config, network: Network, norm: str) -> Learner:
    return reptile(
        network, config.ways, config.inner_lr, config.inner_steps, config.inner_batch, norm
    )


def _mamlpp(config: Config, network: Network, norm: str) -> Learner:
    anneal = config.multi_step, config.first_order_steps
    return mamlpp(network, config.ways, config.inner_lr, config.inner_steps, *anneal, norm)


def _imaml(config: Config, network: Network, norm: str) -> Learner:
    solve = config.inner_lr, config.inner_steps, config.proximal, config.cg_steps, config.cg_damping
    return imaml(network, config.ways, *solve, norm, config.proximal_every_step)


def _cavia(config: Config, network: Network, norm: str) -> Learner:
    inner = config.inner_lr, config.inner_steps, config.context
    return cavia(network, config.ways, *inner, config.first_order, norm)


Build = Callable[[Config, Network, int, str], Learner]  # of ways and norm


def _episodic(build: Build, maps: bool = False) -> Maker:
    """A method that trains the body through its head, in training episodes of any number of ways.

    maps: the head takes feature maps as they are.
    """

    def make(config: Config, classes: int, shared: bool) -> Method:
        if config.most_train_shots and (maps or config.norm in ("batch", "support")):
            what = config.method if maps else f"--norm={config.norm}"
            raise UserError(
                f"{what} does not go with shots that are drawn: add --most_train_shots=0"
            )
        network = body(config, shared, maps)
        tested = mirrored(network) if config.mirror else network

        def test(norm: str) -> Learner:
            return build(config, tested, config.ways, norm)

        return Method(build(config, network, config.train_ways, config.norm), test, (config.norm,))

    return make


def _protonet(config: Config, network: Network, ways: int, norm: str) -> Learner:
    return protonet(network, ways, config.distance, config.scale, norm, config.learned_scale)


def _matchingnet(config: Config, network: Network, ways: int, norm: str) -> Learner:
    return matchingnet(network, ways, config.scale, config.contextual, norm)


def _relationnet(config: Config, classes: int, shared: bool) -> Method:
    if not config.backbone.endswith("-map"):
        raise UserError(
            f"relationnet compares feature maps: --backbone={config.backbone} has none, "
            "conv4-64-map does"
        )
    relation = make_relation(dtype=_dtype(config), shared=shared, initial=config.initial)
    make = _episodic(
        lambda config, network, ways, norm: relationnet(network, relation, ways, norm), maps=True
    )
    return make(config, classes, shared)


def _r2d2(config: Config, network: Network, ways: int, norm: str) -> Learner:
    return r2d2(network, ways, config.scale, norm)


def _metaoptnet(config: Config, network: Network, ways: int, norm: str) -> Learner:
    return metaoptnet(network, ways, config.head, config.label_smoothing, norm)


def _supervised(classifier: str, head: Callable[[], Head], centre: bool = False) -> Maker:
    """A method that fits a head to the features of a body pre-trained with this classifier."""

    def build(config: Config, classes: int, shared: bool) -> Method:
        network = body(config, shared)
        tested = mirrored(network) if config.mirror else network

        def learner(norm: str, network: Network) -> Learner:
            return _pretrained(config, network, head(), classes, norm, classifier, centre)

        test = partial(learner, network=tested)
        return Method(learner(config.norm, network), test, (config.norm,), supervised=True)

    return build


def _pretrained(
    config: Config,
    network: Network,
    head: Head,
    classes: int,
    norm: str,
    classifier: str = "linear",
    centre: bool = False,
) -> Learner:
    return pretrained(
        network,
        head,
        config.ways,
        classes,
        classifier,
        scale=2.0 if classes <= 200 else 10.0,
        norm=norm,
        centre=centre,
        rotation=config.rotation,
        rotation_weight=config.rotation_weight,
        initial=config.initial,
    )


TRANSFORMS = ("none", "l2", "cl2n")


def _simpleshot(config: Config, classes: int, shared: bool) -> Method:
    if config.transform not in TRANSFORMS:
        raise UserError(
            f"simpleshot's transform must be one of {', '.join(TRANSFORMS)}, not "
            f"'{config.transform}'"
        )
    head = partial(nearest_centroid, normalise=config.transform != "none")
    return _supervised("linear", head, centre=config.transform == "cl2n")(config, classes, shared)


def _finetuned(transductive: bool) -> Maker:
    def build(config: Config, classes: int, shared: bool) -> Method:
        lr, steps = config.inner_lr, config.test_inner_steps

        def learner(norm: str, shared: bool = False, test: bool = True) -> Learner:
            network = body(config, shared)
            network = mirrored(network) if config.mirror and test else network
            base = _pretrained(config, network, nearest_centroid(), classes, norm)
            return finetuned(base, network, config.ways, lr, steps, transductive, norm)

        train = learner(config.norm, shared, test=False)
        return Method(train, learner, (config.norm,), supervised=True)

    return build


Makers = dict[str, Maker]

GRADIENT: Makers = {  # with an inner loop: experiments.maml
    "maml": _gradient(_maml()),
    "fomaml": _gradient(_maml(first_order=True)),
    "anil": _gradient(_maml("head")),
    "boil": _gradient(_maml("body")),
    "reptile": _gradient(_reptile),
    "meta_sgd": _gradient(_maml(learned_rates=True)),
    "maml++": _gradient(_mamlpp),
    "imaml": _gradient(_imaml),
    "cavia": _gradient(_cavia),
    "proto_maml": _gradient(
        _maml(head="prototypes"), before=False
    ),  # 0 steps: prototypical networks
    "unicorn_maml": _gradient(_maml(head="shared")),
}

EMBEDDING: Makers = {  # the body is trained through a head: experiments.embedding
    "protonet": _episodic(_protonet),
    "matchingnet": _episodic(_matchingnet),
    "relationnet": _relationnet,
    "r2d2": _episodic(_r2d2),
    "metaoptnet": _episodic(_metaoptnet),
}

PRETRAINED: Makers = {  # a head for a body trained on the base classes: experiments.finetune
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

KINDS = {"gradient": GRADIENT, "embedding": EMBEDDING, "pretrained": PRETRAINED}
METHODS: Makers = GRADIENT | EMBEDDING | PRETRAINED


def readers(setting: str) -> list[str]:
    """The methods that read this setting of `Config`."""
    of = Config.__dataclass_fields__[setting].metadata["of"] or KINDS
    return [method for name in of for method in KINDS.get(name, (name,))]


# That --first_order may be given to
FIRST_ORDER = (
    "fomaml",
    "anil",
    "boil",
    "cavia",
    "proto_maml",
    "unicorn_maml",
)


def make_method(config: Config, classes: int, shared: bool | None = None) -> Method:
    """The method of this name for a training split of `classes` classes.

    shared says whether the compiled training step has every kernel once [unless the method has an
    inner loop], or one for each of several tasks or seeds at a time. The result is the same, but
    either is slow where the other holds.

    Raises:
      UserError: unknown method, or settings that do not fit it.
    """
    if config.method not in METHODS:
        raise UserError(f"unknown method '{config.method}': choose one of {', '.join(METHODS)}")
    if config.first_order and config.method not in FIRST_ORDER:
        raise UserError(
            f"--first_order is not for {config.method}; first-order MAML is --method=fomaml"
        )
    make = METHODS[config.method]
    usual = config.method not in GRADIENT
    method = make(config, classes, usual)
    if shared is not None and shared != usual:
        method = method._replace(train=make(config, classes, shared).train)
    for flag in ("teacher", "rotation"):
        if getattr(config, flag) and not method.supervised:
            raise UserError(
                f"--{flag} is for methods pre-trained on the base classes: {', '.join(PRETRAINED)}"
            )
    if not config.rotation and (config.all_turns or config.rotation_weight):
        raise UserError(
            "--all_turns and --rotation_weight are of rotation self-supervision: add --rotation"
        )

    def test(norm: str) -> Learner:
        if _layers(norm) != _layers(config.norm):
            raise UserError(
                f"--test_norms {norm} does not fit a network trained with {config.norm} layers"
            )
        return method.test(norm)

    return method._replace(test=test)
