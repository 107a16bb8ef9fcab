"""Methods ready to run: learners and the networks of their settings brought together."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp

from metalearn.errors import UserError
from metalearn.learners import embedding, maml, pretrained
from metalearn.learners.registry import GRADIENT, METHODS, PRETRAINED, Entry
from metalearn.models import flattened, make_network, make_relation, mirrored
from metalearn.settings import Adapting, Common, FewShot, narrowed
from metalearn.types import Learner, Network


class Method(NamedTuple):
    """A method ready to run.

    Attributes:
      train: the learner whose loss is trained.
      test: `(norm) -> learner` tested on the same meta-parameters.
      norms: normalisations it is tested under unless --test_norms names others.
      before: `(norm) -> learner` that predicts without adapting, or None where that means nothing.
      supervised: trained on batches of base-class images, not on episodes.
    """

    train: Learner
    test: Callable[[str], Learner]
    norms: tuple[str, ...]
    before: Callable[[str], Learner] | None = None
    supervised: bool = False


def make_method(config: FewShot, classes: int, shared: bool | None = None) -> Method:
    """The method of this name for a training split of `classes` classes.

    Args:
      config: settings; those that the method reads at least. It is built of these alone.
      classes: C of the training split.
      shared: whether the compiled training step has every kernel once [unless the method has an
        inner loop], or one for each of several tasks or seeds at a time. The result is the same,
        but either is slow where the other holds.

    Raises:
      UserError: unknown method, or settings that do not fit it.

    Example: MAML trained under batch moments is tested with queries that are normalised by their
    own moments, and by those of the support set; RFS is pre-trained on batches of images.

        >>> from metalearn.config import Config
        >>> from metalearn.learners.method import make_method
        >>> make_method(Config(method="maml", norm="batch").with_defaults(), classes=64).norms
        ('batch', 'support')
        >>> make_method(Config(method="rfs", norm="running"), classes=64).supervised
        True
    """
    if config.method not in METHODS:
        raise UserError(f"unknown method '{config.method}': choose one of {', '.join(METHODS)}")
    entry = METHODS[config.method]
    if config.first_order and not entry.first_order:
        raise UserError(
            f"--first_order is not for {config.method}; first-order MAML is --method=fomaml"
        )
    settings = narrowed(config, entry.settings)
    usual = config.method not in GRADIENT
    method = _made(entry, settings, classes, usual)
    if shared is not None and shared != usual:
        method = method._replace(train=_made(entry, settings, classes, shared).train)
    for flag in ("teacher", "rotation"):
        if getattr(settings, flag) and not method.supervised:
            raise UserError(
                f"--{flag} is for methods pre-trained on the base classes: {', '.join(PRETRAINED)}"
            )

    def test(norm: str) -> Learner:
        if layers_of(norm) != layers_of(settings.norm):
            raise UserError(
                f"--test_norms {norm} does not fit a network trained with {settings.norm} layers"
            )
        return method.test(norm)

    return method._replace(test=test)


def _made(entry: Entry, settings: FewShot, classes: int, shared: bool) -> Method:
    """The method; the settings are those of its kind."""
    if isinstance(settings, maml.Settings):
        return _gradient(entry, settings, shared)
    if isinstance(settings, embedding.Settings):
        return _embedding(entry, settings, shared)
    assert isinstance(settings, pretrained.Settings)
    return _pretrained(entry, settings, classes, shared)


def _gradient(entry: Entry, settings: maml.Settings, shared: bool) -> Method:
    """A method with an inner loop."""
    if settings.train_ways != settings.ways:
        trained = f"the --train_ways={settings.train_ways} of its training"
        raise UserError(
            f"{settings.method} has one output a class: --ways={settings.ways} must equal {trained}"
        )
    network = body(settings, shared=False)
    tested = settings.at_test()
    unadapted = dataclasses.replace(tested, inner_steps=0)
    both = settings.norm in ("batch", "support")
    return Method(
        train=entry.build(settings, body(settings, shared), settings.norm),
        test=partial(entry.build, tested, network),
        norms=("batch", "support") if both else (settings.norm,),
        before=partial(entry.build, unadapted, network) if entry.before else None,
    )


def _embedding(entry: Entry, settings: embedding.Settings, shared: bool) -> Method:
    """A method that trains the body through its head; training episodes have any number of ways."""
    if entry.maps and not settings.backbone.endswith("-map"):
        raise UserError(
            f"{settings.method} compares feature maps: --backbone={settings.backbone} has none, "
            "conv4-64-map does"
        )
    if settings.most_train_shots and (entry.maps or settings.norm in ("batch", "support")):
        what = settings.method if entry.maps else f"--norm={settings.norm}"
        raise UserError(f"{what} does not go with shots that are drawn: add --most_train_shots=0")
    build = entry.build
    if entry.maps:
        relation = make_relation(
            dtype=precision_of(settings), shared=shared, initial=settings.initial
        )
        build = partial(build, relation=relation)
    network = body(settings, shared, entry.maps)
    tested = mirrored(network) if settings.mirror else network

    def test(norm: str) -> Learner:
        return build(settings, tested, settings.ways, norm)

    train = build(settings, network, settings.train_ways, settings.norm)
    return Method(train, test, (settings.norm,))


def _pretrained(entry: Entry, settings: pretrained.Settings, classes: int, shared: bool) -> Method:
    """A method whose body is pre-trained on C = classes base classes."""
    if not settings.rotation and (settings.all_turns or settings.rotation_weight):
        raise UserError(
            "--all_turns and --rotation_weight are of rotation self-supervision: add --rotation"
        )
    network = body(settings, shared)
    # Where the body adapts at test, every task has its own kernels
    tested = body(settings, shared=False) if isinstance(settings, Adapting) else network
    tested = mirrored(tested) if settings.mirror else tested
    return Method(
        train=entry.build(settings, network, classes, settings.norm),
        test=partial(entry.build, settings, tested, classes),
        norms=(settings.norm,),
        supervised=True,
    )


def body(settings: FewShot, shared: bool, maps: bool = False) -> Network:
    """The network of the settings' backbone, normalisation and precision.

    shared: all tasks have the same weights; maps: feature maps stay maps, and are not flattened.
    """
    network = make_network(
        settings.backbone,
        layers_of(settings.norm),
        precision_of(settings),
        shared,
        settings.initial,
    )
    return network if maps else flattened(network)


def layers_of(norm: str) -> str:
    """The kind of `Norm` in the network.

    batch, running and support are one kind: they differ in where its moments come from.
    """
    return norm if norm in ("group", "layer", "none") else "batch"


def precision_of(settings: Common) -> jnp.dtype:
    """What the settings' matrix products are computed in."""
    return jnp.bfloat16 if settings.precision == "bfloat16" else jnp.float32
