"""The best recogniser from scratch: a recipe of several trainings, each on what the last one made.

Rajasegaran et al. Self-supervised Knowledge Distillation for Few-shot Learning. BMVC 2021 (the
first stage); Tian et al. 2020, section 3.3 (distillation); Chen et al. Meta-Baseline: Exploring
Simple Meta-Learning for Few-Shot Learning. ICCV 2021 (a short episodic training of a pre-trained
body); Bendou et al. EASY. 2022 (features of an image and its mirror). Their combination and its
numbers are ours.
"""

from typing import NamedTuple

from metalearn.errors import UserError
from metalearn.learners.recipes import PUBLISHED, Recipe, unmirrored

PARTS = ("rotation", "distillation", "episodes", "mirror")
# 65 passes over the 38,400 training images of CIFAR-FS by 64, the rate times 0.1 after 60
EPOCHS: Recipe = dict(steps=39_000, schedule="steps:0.1@0.92308")


class Stage(NamedTuple):
    """One training of the recipe.

    Attributes:
      name: of its folder, below that of the recipe.
      method: what is trained.
      settings: where they differ from the method's own recipe.
      role: what it takes from the stage before: `teacher`, `init_from`, or '' for nothing.
    """

    name: str
    method: str
    settings: Recipe
    role: str = ""


def stages(
    dataset: str, shots: int, backbone: str, generations: int = 1, without: tuple[str, ...] = ()
) -> list[Stage]:
    """The trainings of the recipe, in their order.

    First supervised pre-training, which sees every image in its four turns and predicts these too;
    then generations that learn from the last one's predictions (half of the loss, temperature 4);
    then some episodes of prototypical networks: with cosines for 1 shot, with distances for more.
    All but the last are the same for every number of shots: their checkpoint is picked by 5-way
    5-shot validation.

    Args:
      dataset: one of photographs: a turned character is another class, or looks like one.
      shots: K at test.
      backbone: of all stages.
      generations: of distillation.
      without: parts to leave out, of `PARTS`.

    Raises:
      UserError: a dataset of characters, or an unknown part.
    """
    if unmirrored(dataset):
        raise UserError(f"the recipe turns and mirrors images, which makes others of {dataset}'s")
    if unknown := [part for part in without if part not in PARTS]:
        raise UserError(f"--without={unknown[0]}: the parts are {', '.join(PARTS)}")
    mirror = "mirror" not in without
    common = dict(backbone=backbone, mirror=mirror)
    turned = dict(rotation=True, all_turns=True, rotation_weight=_rotation_weight(backbone))
    first = turned if "rotation" not in without else {}
    found = [Stage("pretrained", "rfs", common | EPOCHS | first | dict(shots=5))]
    for generation in range(generations if "distillation" not in without else 0):
        name = f"distilled{generation + 1}"
        found.append(Stage(name, "rfs", common | EPOCHS | dict(shots=5), "teacher"))
    if "episodes" not in without:
        tuned = common | _episodes(dataset, shots)
        found.append(Stage(f"episodes-{shots}shot", "protonet", tuned, "init_from"))
    return found


def _rotation_weight(backbone: str) -> float:
    """That of Rajasegaran et al. 2021 for the network they train; half of it for a smaller one."""
    return 2.0 if backbone.startswith("resnet12") else 1.0


def _episodes(dataset: str, shots: int) -> Recipe:
    kind = dict(distance="cosine", scale=20.0) if shots == 1 else {}
    # Images of a user may have fewer classes
    kind |= dict(train_ways=30 if shots == 1 else 20) if dataset in PUBLISHED else {}
    length = dict(steps=3_000, valid_every=250, lr=5e-4, meta_batch=2, train_queries=5)
    return kind | length | dict(shots=shots, augment="flip,crop,jitter")
