"""Every setting of a run, in one place; flags, presets and records are made from it."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

from absl import flags

from metalearn.errors import UserError

# How flags are defined, by the type of a setting.
DEFINE: dict[type, Callable] = {
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
    bool: flags.DEFINE_boolean,
}
LARGEST = 2**31 - 2  # of a whole number: what JAX counts with, and room for the next

# Settings that had another name once, under which runs and records may still have them.
RENAMED = {"pull_always": "proximal_every_step"}

# Kinds of methods that settings are of.
EPISODIC = ("gradient", "embedding")
INNER = ("gradient", "finetune", "transductive_finetune")


def setting(
    default: Any,
    text: str,
    training: bool = True,
    least: float | None = None,
    of: tuple[str, ...] = (),
) -> Any:
    """A dataclass field with a line of help; training=False for what does not touch the trained
    weights.

    least is the smallest value that makes sense, once `with_defaults` is done; None for any. `of`
    names the methods that read it, of those here, or their kinds (`gradient`, `embedding`,
    `pretrained`); empty for all.
    """
    return field(
        default=default, metadata={"help": text, "training": training, "least": least, "of": of}
    )


@dataclass(frozen=True)
class Config:
    """Settings of one run. Defaults are overridden by the preset of (method, dataset, shots), that
    by flags.
    """

    method: str = setting("maml", "name in metalearn.learners.registry.METHODS")
    dataset: str = setting("cifar_fs", "name of a dataset")
    image_size: int = setting(
        0,
        "side of the images in pixels, for folder, mini_imagenet and tfds:NAME (0: theirs)",
        least=0,
    )
    backbone: str = setting("conv4-64", "name in metalearn.models.BACKBONES")
    norm: str = setting(
        "batch", "normalisation in training: batch, running, support, group, layer, none"
    )
    ways: int = setting(
        5, "N, classes of a test episode; of a training episode too unless --train_ways", least=2
    )
    shots: int = setting(
        1, "K, labelled images a class at test; in training too unless --train_shots", least=1
    )
    queries: int = setting(15, "query images a class at test", least=1)
    train_ways: int = setting(
        0, "classes of a training episode (0: as --ways)", least=2, of=EPISODIC
    )
    train_shots: int = setting(
        0, "labelled images a class in training (0: as --shots)", least=1, of=EPISODIC
    )
    train_queries: int = setting(15, "query images a class in training", least=1, of=EPISODIC)
    most_train_shots: int = setting(
        0,
        "draw the shots of each training episode from 1 to this, of --train_shots + "
        "--train_queries images a class "
        "(0: always --train_shots)",
        least=0,
        of=("embedding",),
    )
    steps: int = setting(
        10_000, "outer updates (0: test initial weights, or the body of --init_from)", least=0
    )
    meta_batch: int = setting(4, "T, tasks an outer update", least=1)
    batch_size: int = setting(
        64, "images an update of supervised pre-training", least=1, of=("pretrained",)
    )
    optimizer: str = setting("adam", "outer optimiser: adam or sgd")
    momentum: float = setting(0.9, "momentum of sgd (0: none)", least=0)
    nesterov: bool = setting(True, "momentum of sgd is Nesterov's")
    lr: float = setting(1e-3, "outer learning rate", least=0)
    schedule: str = setting(
        "constant",
        "outer learning rate over time: constant, cosine or linear (to zero), halve:N (every N "
        "updates), or "
        "steps:0.1@0.6,0.1@0.8 (times 0.1 after 60 % of the updates, and again after 80 %)",
    )
    weight_decay: float = setting(0.0, "times the weights, added to their gradient", least=0)
    decay: str = setting("kernels", "which weights --weight_decay is of: kernels, or all")
    initial: str = setting(
        "default",
        "initial weights: default (each network's own), torch (PyTorch's), or he (kernels by He et "
        "al. 2015 over the "
        "outputs, classifiers as PyTorch's)",
    )
    augment: str = setting(
        "none", "transforms of training images: none, or a list of flip,crop,jitter"
    )
    inner_lr: float = setting(0.01, "step size of the inner loop", least=0, of=INNER)
    inner_steps: int = setting(5, "J, inner steps in training", least=0, of=("gradient",))
    test_inner_steps: int = setting(10, "inner steps at test", least=0, of=INNER)
    inner_batch: int = setting(
        0, "images an inner step of Reptile in training (0: all)", least=0, of=("reptile",)
    )
    test_inner_batch: int = setting(
        0, "images an inner step of Reptile at test (0: all)", least=0, of=("reptile",)
    )
    first_order: bool = setting(False, "drop second derivatives (of MAML: --method=fomaml)")
    first_order_steps: int = setting(
        0, "outer updates that MAML++ makes at first order, before second", least=0, of=("maml++",)
    )
    multi_step: int = setting(
        0,
        "outer updates until MAML++ trains the loss of the last inner step alone",
        least=0,
        of=("maml++",),
    )
    proximal: float = setting(
        2.0, "strength of iMAML's pull to the initial weights, lambda", least=1e-3, of=("imaml",)
    )
    proximal_every_step: bool = setting(
        False,
        "iMAML pulls at every inner step, and at test; else once, after the last inner step of "
        "training",
        of=("imaml",),
    )
    cg_steps: int = setting(5, "steps of conjugate gradients of iMAML", least=1, of=("imaml",))
    cg_damping: float = setting(
        22.0,
        "added to --proximal in the system that gives iMAML's gradient",
        least=0,
        of=("imaml",),
    )
    context: int = setting(100, "context parameters of CAVIA", least=1, of=("cavia",))
    distance: str = setting(
        "euclidean", "of prototypes: euclidean (squared) or cosine", of=("protonet",)
    )
    scale: float = setting(
        1.0,
        "of the logits of protonet, matchingnet and r2d2 (learned there)",
        of=("protonet", "matchingnet", "r2d2"),
    )
    learned_scale: bool = setting(
        False,
        "protonet divides distances by the number of features, and learns --scale",
        of=("protonet",),
    )
    transform: str = setting(
        "cl2n",
        "of simpleshot's features: none, l2 (length one) or cl2n (centred before)",
        of=("simpleshot",),
    )
    contextual: bool = setting(
        False,
        "matchingnet embeds images in the context of the support set, by LSTMs",
        of=("matchingnet",),
    )
    head: str = setting("svm", "of metaoptnet: svm or ridge", of=("metaoptnet",))
    label_smoothing: float = setting(
        0.0, "of metaoptnet's query labels in training", least=0, of=("metaoptnet",)
    )
    precision: str = setting("float32", "of matrix products: float32, tf32 or bfloat16")
    init_from: str = setting(
        "", "folder of a finished run whose body training begins from (empty: random weights)"
    )
    teacher: str = setting(
        "", "folder of a finished run whose predictions pre-training learns from too (empty: none)"
    )
    rotation: bool = setting(
        False, "rotation self-supervision: pre-training also predicts 0/90/180/270 degrees"
    )
    all_turns: bool = setting(
        False,
        "with --rotation every image is seen in all four turns; else each in one",
        of=("pretrained",),
    )
    rotation_weight: float = setting(
        0.0,
        "of the rotation loss, added to that of the classes (0: the mean of both, as in EASY)",
        least=0,
        of=("pretrained",),
    )
    seed: int = setting(0, "of initial weights, training tasks and class splits", least=0)
    support_copies: int = setting(
        1,
        "copies of each support image that a head is fitted to at test, augmented by crop,flip (1: "
        "itself)",
        least=1,
    )
    mirror: bool = setting(
        False,
        "at test, features are the mean of an image's and its mirror's (where they depend on the "
        "image alone)",
        of=("embedding", "pretrained"),
    )
    test_dataset: str = setting(
        "", "dataset whose test split is tested on, at the body's size (empty: --dataset's)", False
    )
    test_norms: str = setting(
        "", "normalisations to test under, comma-separated (empty: the method's own)", False
    )
    eval_seed: int = setting(0, "of the episode lists", least=0)
    episodes: int = setting(10_000, "test episodes", training=False, least=2)
    valid_episodes: int = setting(400, "validation episodes", least=2)
    valid_every: int = setting(
        1000, "updates between validations, which pick the checkpoint to test", least=1
    )

    def with_defaults(self) -> "Config":
        """With the training episodes' shape filled in where it follows the test's."""
        return dataclasses.replace(
            self,
            train_ways=self.train_ways or self.ways,
            train_shots=self.train_shots or self.shots,
        )

    def check(self) -> None:
        """Raise `UserError` if a number is smaller than makes sense, or larger than can be counted
        to.
        """
        for f in fields(self):
            value = getattr(self, f.name)
            least = f.metadata["least"]
            if least is not None and not value >= least:
                raise UserError(f"--{f.name} must be at least {least}, not {value}")
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"--{f.name} must be a finite number, not {value}")
            if type(value) is int and value > LARGEST:
                raise UserError(f"--{f.name} must be at most {LARGEST}, not {value}")

    def training(self) -> dict[str, Any]:
        """The settings that decide the trained weights: two runs that agree here are the same
        run.
        """
        return {f.name: getattr(self, f.name) for f in fields(self) if f.metadata["training"]}
