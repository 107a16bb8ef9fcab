"""Settings: what one is, those that every method reads, and those that several families read.

A family's own settings stand beside its learner, as a dataclass that inherits from these. Flags,
records and recipes are made from the fields; `metalearn.config.Config` has those of all methods.
"""

import dataclasses
import math
from dataclasses import dataclass, field, fields
from typing import Any, Self, TypeVar

from metalearn.errors import UserError

STAGES = ("init_from", "teacher")  # settings that name the folder of an earlier run
LARGEST = 2**31 - 2  # of a whole number: what JAX counts with, and room for the next

S = TypeVar("S", bound="Common")


def setting(
    default: Any,
    text: str,
    training: bool = True,
    least: float | None = None,
    test: bool = False,
    head: bool = False,
) -> Any:
    """A dataclass field with a line of help.

    Args:
      default: its value, unless a recipe or the user says otherwise; the setting is of its type.
      text: the line of help.
      training: whether it touches the trained weights.
      least: the smallest value that makes sense, once `with_defaults` is done; None for any.
      test: whether a later test of the run may have another value.
      head: whether another method, which later tests what the run trained, brings its own value.
    """
    metadata = {"help": text, "training": training, "least": least, "test": test, "head": head}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Common:
    """What every method reads.

    Defaults are overridden by the recipe of (method, dataset, shots), that by flags.
    """

    method: str = setting("maml", "name in metalearn.learners.registry.METHODS")
    dataset: str = setting("cifar_fs", "name of a dataset")
    image_size: int = setting(0, "side of photographs in pixels (0: see docs/data.md)", least=0)
    backbone: str = setting("conv4-64", "name in metalearn.models.BACKBONES, or of models.zoo")
    weights: str = setting(
        "", "file of a pre-trained body's weights (empty: those installed); records hold its digest"
    )
    input_size: int = setting(
        0, "side of the images that a pre-trained body takes, in pixels (0: its own)", least=0
    )
    norm: str = setting(
        "batch", "normalisation in training: batch, running, support, group, layer, none"
    )
    steps: int = setting(
        10_000, "outer updates (0: test initial weights, or the body of --init_from)", least=0
    )
    precision: str = setting("float32", "of matrix products: float32, tf32 or bfloat16")
    init_from: str = setting(
        "",
        "folder of a finished run whose body training begins from, in its network unless "
        "--backbone names another (empty: random weights)",
    )
    seed: int = setting(0, "of initial weights, training tasks and class splits", least=0)

    def with_defaults(self) -> Self:
        """With what follows other settings filled in."""
        return self

    def check(self) -> None:
        """Check that every number makes sense and can be counted to.

        Raises:
          UserError: one that is too small, too large or not finite.
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
        """The settings that decide the trained weights.

        Two runs that agree here are the same run.
        """
        return {f.name: getattr(self, f.name) for f in fields(self) if f.metadata["training"]}


@dataclass(frozen=True)
class Trained(Common):
    """What every method reads that is trained by gradient steps."""

    meta_batch: int = setting(4, "T, tasks an outer update", least=1)
    optimizer: str = setting("adam", "outer optimiser: adam, sgd or rmsprop")
    momentum: float = setting(0.9, "momentum of sgd (0: none)", least=0)
    nesterov: bool = setting(True, "momentum of sgd is Nesterov's")
    lr: float = setting(1e-3, "outer learning rate", least=0)
    schedule: str = setting(
        "constant",
        "outer learning rate over time: constant, cosine or linear (to zero), cosine:0.1 (the same "
        "after a rise from zero over 10 % of the updates), halve:N (every N updates), or "
        "steps:0.1@0.6,0.1@0.8 (times 0.1 after 60 % of the updates, and again after 80 %)",
    )
    weight_decay: float = setting(0.0, "times the weights, added to their gradient", least=0)
    decay: str = setting("kernels", "which weights --weight_decay is of: kernels, or all")
    initial: str = setting(
        "default",
        "initial weights: default (each network's own), torch (PyTorch's), or he (kernels by He et "
        "al. 2015 over the outputs, classifiers as PyTorch's)",
    )
    augment: str = setting(
        "none",
        "transforms of training images: none, or a list of flip, crop, jitter, rotate, affine, "
        "zoom, salt, noise, cutout",
    )
    valid_every: int = setting(
        1000, "updates between validations, which pick the checkpoint to test", least=1
    )


@dataclass(frozen=True)
class FewShot(Trained):
    """What every few-shot method reads: it is tested on episodes of new classes."""

    ways: int = setting(
        5,
        "N, classes of a test episode; of a training episode too unless --train_ways",
        least=2,
        test=True,
    )
    shots: int = setting(
        1,
        "K, labelled images a class at test; in training too unless --train_shots",
        least=1,
        test=True,
    )
    queries: int = setting(15, "query images a class at test", least=1, test=True)
    first_order: bool = setting(False, "drop second derivatives (of MAML: --method=fomaml)")
    teacher: str = setting(
        "", "folder of a finished run whose predictions pre-training learns from too (empty: none)"
    )
    rotation: bool = setting(False, "pre-training also predicts turns by 0/90/180/270 degrees")
    support_copies: int = setting(
        1,
        "copies of each support image that a head is fitted to at test, augmented by crop,flip, "
        "of digits and letters by crop alone (1: itself)",
        least=1,
        test=True,
        head=True,
    )
    test_dataset: str = setting(
        "",
        "dataset whose test split is tested on, at the body's size (empty: --dataset's)",
        training=False,
        test=True,
    )
    test_norms: str = setting(
        "",
        "normalisations to test under, comma-separated (empty: the method's own)",
        training=False,
        test=True,
    )
    eval_seed: int = setting(0, "of the episode lists", least=0, test=True)
    episodes: int = setting(10_000, "test episodes", training=False, least=2, test=True)
    valid_episodes: int = setting(400, "validation episodes", least=2)


@dataclass(frozen=True)
class Episodic(FewShot):
    """What methods read that are trained in episodes."""

    train_ways: int = setting(0, "classes of a training episode (0: as --ways)", least=2)
    train_shots: int = setting(0, "labelled images a class in training (0: as --shots)", least=1)
    train_queries: int = setting(15, "query images a class in training", least=1)

    def with_defaults(self) -> Self:
        """With the training episodes' shape filled in where it follows the test's."""
        return dataclasses.replace(
            super().with_defaults(),
            train_ways=self.train_ways or self.ways,
            train_shots=self.train_shots or self.shots,
        )


@dataclass(frozen=True)
class Adapting(FewShot):
    """What methods read that take gradient steps on a test episode."""

    inner_lr: float = setting(0.01, "step size of the inner loop", least=0, head=True)
    test_inner_steps: int = setting(10, "inner steps at test", least=0, test=True, head=True)


@dataclass(frozen=True)
class Mirrored(FewShot):
    """What methods read whose head is fitted to features."""

    mirror: bool = setting(
        False,
        "at test, features are the mean of an image's and its mirror's (where they depend on the "
        "image alone)",
        test=True,
    )


@dataclass(frozen=True)
class Scaled(FewShot):
    """What methods read whose logits have a scale."""

    scale: float = setting(1.0, "of the logits (r2d2 begins with it, and learns it)")


@dataclass(frozen=True)
class Batched(Trained):
    """What methods read that are trained on batches of labelled images."""

    batch_size: int = setting(64, "images an update of supervised training", least=1)


@dataclass(frozen=True)
class Smoothed(Trained):
    """What methods read whose labels in training may be smoothed."""

    label_smoothing: float = setting(0.0, "share of a label that other classes get", least=0)

    def check(self) -> None:
        """As of others, and that a label keeps a share.

        Raises:
          UserError: as of others, or it keeps none.
        """
        super().check()
        if self.label_smoothing >= 1:
            raise UserError(f"--label_smoothing must be below 1, not {self.label_smoothing}")


def narrowed(settings: Common, kind: type[S]) -> S:
    """Those of the settings that `kind` has, and no others."""
    return kind(**{f.name: getattr(settings, f.name) for f in fields(kind)})
