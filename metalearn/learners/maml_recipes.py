"""Recipes of the methods that are an argument of `maml`; each begins from its own recipe."""

from metalearn.learners import maml
from metalearn.learners.recipes import CHARACTERS, Recipe


def boil(dataset: str, shots: int) -> Recipe:
    """Oh et al. 2021, released code: one step of 0.5 on Conv4-64, 30,000 updates.

    On characters all, elsewhere the rest is MAML's.
    """
    if dataset in CHARACTERS:
        return maml.recipe(dataset, shots)
    one_step = dict(inner_lr=0.5, inner_steps=1, test_inner_steps=1)
    return maml.recipe(dataset, shots) | dict(backbone="conv4-64", steps=30_000) | one_step


def meta_sgd(dataset: str, shots: int) -> Recipe:
    """Li et al. 2017: one step, in training and at test, on MAML's networks.

    Where step sizes begin is ours.
    """
    return maml.recipe(dataset, shots) | dict(inner_steps=1, test_inner_steps=1)


def proto_maml(dataset: str, shots: int) -> Recipe:
    """Triantafillou et al. 2020, released configurations: first order; 6 steps, 5 more at test.

    That is one of those found best, with a rate of 0.311 (0.01 is the default's), and
    normalisation's scale and shift held. The rest is MAML's.
    """
    inner = dict(first_order=True, inner_lr=0.01, inner_steps=6, test_inner_steps=11)
    return maml.recipe(dataset, shots) | dict(backbone="conv4-64") | inner


def unicorn_maml(dataset: str, shots: int) -> Recipe:
    """Ye & Chao 2022, released commands: first order, steps of 0.1.

    They begin from a pre-trained ResNet-12 with SGD; from random weights, as here, the rest is
    MAML's, and all of it on characters, second derivatives too.
    """
    if dataset in CHARACTERS:
        return maml.recipe(dataset, shots)
    inner_steps = 5 if shots == 1 else 20
    inner = dict(inner_lr=0.1, inner_steps=inner_steps, test_inner_steps=inner_steps)
    return maml.recipe(dataset, shots) | dict(backbone="resnet12", first_order=True) | inner
