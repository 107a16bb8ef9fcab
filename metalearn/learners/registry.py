"""Methods by name: the settings that each reads, what builds it, its published recipe."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from metalearn.domains.deep import settings as adaptation
from metalearn.domains.deep.registry import DEEP
from metalearn.learners import (
    cavia,
    embedding,
    finetune,
    imaml,
    logistic,
    maml,
    maml_recipes,
    mamlpp,
    matchingnet,
    metaoptnet,
    pretrained,
    protonet,
    r2d2,
    relationnet,
    reptile,
    simpleshot,
    supervised,
    supervised_recipes,
)
from metalearn.learners.heads import nearest_centroid, nearest_neighbour, sgd_classifier
from metalearn.learners.logistic import logistic_regression
from metalearn.learners.recipes import CHARACTERS, PLAIN, PUBLISHED, Recipe, unmirrored
from metalearn.learners.supervised import Strategy
from metalearn.learners.transductive import build_laplacian_shot, information_maximization
from metalearn.settings import FewShot
from metalearn.types import Learner


class Entry(NamedTuple):
    """What a method's name stands for. `metalearn.learners.method` makes it ready to run.

    Attributes:
      settings: the dataclass of the settings that it reads; it inherits from that of its kind.
      build: the learner of these settings: `(settings, network, norm)` of a method with an inner
        loop, `(settings, network, ways, norm)` of one that trains the body through a head (and
        `relation`, a network, if it compares maps), `(settings, network, classes, norm)` of one
        with a pre-trained body.
      recipe: `(dataset, shots) -> settings` as published, for 1 or 5 shots.
      first_order: whether --first_order is of meaning to it.
      before: whether no inner step at all is a prediction without adapting, and not a method of
        another kind.
      maps: whether feature maps stay maps, and are not flattened.
    """

    settings: type[FewShot]
    build: Callable[..., Learner]
    recipe: Callable[[str, int], Recipe]
    first_order: bool = False
    before: bool = True
    maps: bool = False


class Adapting(NamedTuple):
    """How a body is trained for another domain; fields as of `Strategy`."""

    settings: type[adaptation.Settings]
    recipe: Callable[[str, int], Recipe]
    random: bool = True


Entries = dict[str, Entry]

# With an inner loop: experiments.maml
GRADIENT: Entries = {
    "maml": Entry(maml.Settings, maml.build, maml.recipe),
    "fomaml": Entry(
        maml.Settings, partial(maml.build, first_order=True), maml.recipe, first_order=True
    ),
    "anil": Entry(maml.Settings, partial(maml.build, adapts="head"), maml.recipe, first_order=True),
    "boil": Entry(
        maml.Settings, partial(maml.build, adapts="body"), maml_recipes.boil, first_order=True
    ),
    "reptile": Entry(reptile.Settings, reptile.build, reptile.recipe),
    "meta_sgd": Entry(
        maml.Settings, partial(maml.build, learned_rates=True), maml_recipes.meta_sgd
    ),
    "maml++": Entry(mamlpp.Settings, mamlpp.build, mamlpp.recipe),
    "imaml": Entry(imaml.Settings, imaml.build, imaml.recipe),
    "cavia": Entry(cavia.Settings, cavia.build, cavia.recipe, first_order=True),
    # Without a step it is prototypical networks
    "proto_maml": Entry(
        maml.Settings,
        partial(maml.build, head="prototypes"),
        maml_recipes.proto_maml,
        first_order=True,
        before=False,
    ),
    "unicorn_maml": Entry(
        maml.Settings,
        partial(maml.build, head="shared"),
        maml_recipes.unicorn_maml,
        first_order=True,
    ),
}

# The body is trained through a head: experiments.embedding
EMBEDDING: Entries = {
    "protonet": Entry(protonet.Settings, protonet.build, protonet.recipe),
    "matchingnet": Entry(matchingnet.Settings, matchingnet.build, matchingnet.recipe),
    "relationnet": Entry(embedding.Settings, relationnet.build, relationnet.recipe, maps=True),
    "r2d2": Entry(r2d2.Settings, r2d2.build, r2d2.recipe),
    "metaoptnet": Entry(metaoptnet.Settings, metaoptnet.build, metaoptnet.recipe),
}


def _head(
    build: Callable[..., Learner], recipe: Callable[[str, int], Recipe] = pretrained.recipe
) -> Entry:
    return Entry(pretrained.Settings, build, recipe)


# A head for a body trained on the base classes: experiments.finetune
PRETRAINED: Entries = {
    "baseline": _head(partial(pretrained.build, head=sgd_classifier())),
    "baseline++": _head(
        partial(pretrained.build, head=sgd_classifier("cosine"), classifier="cosine")
    ),
    "rfs": _head(partial(pretrained.build, head=logistic_regression()), logistic.recipe),
    "simpleshot": Entry(simpleshot.Settings, simpleshot.build, pretrained.recipe),
    "cosine_centroid": _head(
        partial(pretrained.build, head=nearest_centroid("cosine", scale=10.0), centre=True)
    ),
    "nearest_neighbour": _head(partial(pretrained.build, head=nearest_neighbour())),
    "laplacianshot": _head(build_laplacian_shot),
    "tim": _head(partial(pretrained.build, head=information_maximization())),
    "finetune": Entry(finetune.Settings, finetune.build, finetune.recipe),
    "transductive_finetune": Entry(
        finetune.Settings, partial(finetune.build, transductive=True), finetune.recipe
    ),
}

METHODS: Entries = GRADIENT | EMBEDDING | PRETRAINED

# Classifiers of fixed classes: experiments.transfer and pretrain
STRATEGIES: dict[str, Strategy] = {
    "probe": Strategy(supervised.ProbeSettings, supervised_recipes.probe_recipe),
    "partial": Strategy(supervised.PartialSettings, supervised_recipes.partial_recipe),
    "fine_tune": Strategy(supervised.Settings, supervised_recipes.fine_tune_recipe),
    "gradual": Strategy(supervised.Settings, supervised_recipes.recipe),
    "lora": Strategy(supervised.AdapterSettings, supervised_recipes.adapter_recipe),
    "scratch": Strategy(supervised.Settings, supervised_recipes.scratch_recipe, random=True),
}

# A body is trained for another domain: experiments.adapt
ADAPTATION: dict[str, Adapting] = dict.fromkeys(
    DEEP, Adapting(adaptation.Settings, adaptation.recipe)
)
# What trains classifiers of fixed classes
CLASSIFYING: dict[str, Strategy | Adapting] = {**STRATEGIES, **ADAPTATION}


def readers(setting: str) -> list[str]:
    """The methods that read this setting."""
    return [method for method in (*METHODS, *CLASSIFYING) if reads(method, setting)]


def reads(method: str, setting: str) -> bool:
    """Whether the method reads this setting; an unknown one reads none."""
    known: Mapping[str, Entry | Strategy | Adapting] = {**METHODS, **CLASSIFYING}
    return method in known and setting in known[method].settings.__dataclass_fields__


def preset(method: str, dataset: str, shots: int) -> Recipe:
    """The settings published (or chosen) for this method, dataset and number of shots.

    Recipes are for 1 and 5 shots, and other numbers take the nearer one; a data set that no paper
    has a recipe for takes that for 1 shot, without augmentation for digits and letters. For a
    strategy shots are the labels a class, 0 for all. {} for an unknown method.
    """
    if method in CLASSIFYING:
        return CLASSIFYING[method].recipe(dataset, shots)
    if method not in METHODS:
        return {}
    five = shots >= 3 and dataset in PUBLISHED
    recipe = METHODS[method].recipe(dataset, 5 if five else 1)
    # No paper's recipe is of other digits and letters than these
    return recipe | PLAIN if unmirrored(dataset) and dataset not in CHARACTERS else recipe
