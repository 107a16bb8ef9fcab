"""Settings of methods that train a body for the target, and their recipe."""

from dataclasses import dataclass
from typing import Any

from metalearn.settings import Batched, Smoothed, setting

LAST = "last"


@dataclass(frozen=True)
class Settings(Batched, Smoothed):
    """What methods of domain adaptation read that train a body."""

    target: str = setting("", "data set with the same classes, whose labels are not known")
    target_labels: int = setting(0, "images a class of the target whose labels are known", least=0)
    target_weight: float = setting(
        1.0, "weight of the loss of the target's labelled images", least=0
    )
    penalty: float = setting(1.0, "weight of the loss by which domains become alike", least=0)
    bottleneck: bool = setting(
        False, "a dense layer on the features of --backbone is trained, and that body stays"
    )
    keep: str = setting(
        "information",
        "which of the trained states is kept: last, or the best by a validator without labels of "
        "the target: entropy, information, density, dev or source",
    )


def recipe(dataset: str, labels: int) -> dict[str, Any]:
    """One for all methods: SGD with a cosine schedule, as many images of each domain a step.

    Rate, momentum and decay are those of released code for digits (Long et al. 2018; here momentum
    is Nesterov's, and kernels alone decay), affine maps of the images after French et al. 2018;
    length, schedule and normalisation are ours.
    """
    return dict(
        backbone="lenet",
        norm="running",
        steps=5000,
        optimizer="sgd",
        lr=0.01,
        weight_decay=5e-4,
        schedule="cosine",
        augment="affine",
        batch_size=64,
        meta_batch=1,
        valid_every=1000,
    )
