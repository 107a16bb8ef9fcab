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
# Of Rajasegaran et al. 2021 for ResNet-12: 65 passes over the 38,400 training images of CIFAR-FS by
# 64, the rate times 0.1 after 60
OF_RESNET12: Recipe = dict(steps=39_000, schedule="steps:0.1@0.92308")
# Of Tian et al. 2020 for miniImageNet: that of the rows in RESULTS.md
OF_CONV4: Recipe = dict(steps=60_000, schedule="steps:0.1@0.6,0.1@0.8")


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


def usual_parts(backbone: str) -> tuple[str, ...]:
    """Those that pay on this network.

    All that is published on ResNet-12. On Conv4-64, which stands here for all smaller networks,
    validation classes of CIFAR-FS gained nothing by rotation and distillation (docs/findings.md),
    which take most of the time.
    """
    return PARTS if _is_large(backbone) else ("episodes", "mirror")


def stages(
    dataset: str, shots: int, backbone: str, parts: tuple[str, ...], generations: int = 1
) -> list[Stage]:
    """The trainings of the recipe, in their order.

    First supervised pre-training as RFS's, with rotation of every image in its four turns, which it
    predicts too; then generations of distillation, which learn from the last one's predictions
    (half of the loss, temperature 4); then some episodes of prototypical networks: with cosines for
    1 shot, with distances for more. All but the last are the same for every number of shots: their
    checkpoint is picked by 5-way 5-shot validation.

    Args:
      dataset: one of photographs: a turned character is another class, or looks like one.
      shots: K at test.
      backbone: of all stages.
      parts: of `PARTS`, what there is beside the pre-training; `mirror` is of tests.
      generations: of distillation.

    Raises:
      UserError: a dataset of characters, or an unknown part.
    """
    if unmirrored(dataset):
        raise UserError(f"the recipe turns and mirrors images, which makes others of {dataset}'s")
    if unknown := [part for part in parts if part not in PARTS]:
        raise UserError(f"--parts={unknown[0]}: the parts are {', '.join(PARTS)}")
    length = OF_RESNET12 if _is_large(backbone) else OF_CONV4
    common = dict(backbone=backbone, mirror="mirror" in parts)
    supervised = common | length | dict(shots=5)
    turned = dict(rotation=True, all_turns=True, rotation_weight=2.0)
    first = turned if "rotation" in parts else {}
    found = [Stage("pretrained", "rfs", supervised | first)]
    for generation in range(generations if "distillation" in parts else 0):
        found.append(Stage(f"distilled{generation + 1}", "rfs", supervised, "teacher"))
    if "episodes" in parts:
        tuned = common | _episodes(dataset, shots)
        found.append(Stage(f"episodes-{shots}shot", "protonet", tuned, "init_from"))
    return found


def _is_large(backbone: str) -> bool:
    return backbone.startswith("resnet12")


def _episodes(dataset: str, shots: int) -> Recipe:
    # Of squared distances of a flat Conv4-64's features: that of the rows in RESULTS.md
    kind = dict(distance="cosine", scale=20.0) if shots == 1 else dict(scale=0.05)
    # Images of a user may have fewer classes
    kind |= dict(train_ways=30 if shots == 1 else 20) if dataset in PUBLISHED else {}
    length = dict(steps=3_000, valid_every=250, lr=5e-4, meta_batch=2, train_queries=5)
    return kind | length | dict(shots=shots, augment="flip,crop,jitter")
