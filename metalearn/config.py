"""Every setting of a run, in one flat dataclass; flags, recipes and records are made from it."""

from collections.abc import Iterable
from dataclasses import dataclass

from metalearn.domains.deep import settings as adaptation
from metalearn.learners import (
    cavia,
    finetune,
    imaml,
    mamlpp,
    matchingnet,
    metaoptnet,
    protonet,
    r2d2,
    reptile,
    simpleshot,
    supervised,
)

# Settings that had another name once, under which runs and records may still have them.
RENAMED = {"pull_always": "proximal_every_step"}

# The order in which records have them, and identities are made from them. It is that of the first
# records and stays; a setting that is not in it is newer, and follows.
ORDER = """
    method dataset image_size backbone norm ways shots queries train_ways train_shots
    train_queries most_train_shots steps meta_batch batch_size optimizer momentum nesterov lr
    schedule weight_decay decay initial augment inner_lr inner_steps test_inner_steps
    inner_batch test_inner_batch first_order first_order_steps multi_step proximal
    proximal_every_step cg_steps cg_damping context distance scale learned_scale transform
    contextual head label_smoothing precision init_from teacher rotation all_turns
    rotation_weight seed support_copies mirror test_norms eval_seed episodes valid_episodes
    valid_every
""".split()
PLACE = {name: i for i, name in enumerate(ORDER)}


@dataclass(frozen=True)
class Config(
    reptile.Settings,
    mamlpp.Settings,
    imaml.Settings,
    cavia.Settings,
    protonet.Settings,
    matchingnet.Settings,
    r2d2.Settings,
    metaoptnet.Settings,
    simpleshot.Settings,
    finetune.Settings,
    supervised.ProbeSettings,
    supervised.PartialSettings,
    supervised.AdapterSettings,
    adaptation.Settings,
):
    """Settings of one run: those of every method.

    Settings that the run's own method does not read stay at their defaults. Defaults are overridden
    by the recipe of (method, dataset, shots), that by flags.
    """


def in_order(names: Iterable[str]) -> list[str]:
    """The names of settings in the order of records."""
    return sorted(names, key=lambda name: PLACE.get(name, len(PLACE)))
