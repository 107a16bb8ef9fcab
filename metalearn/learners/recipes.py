"""What published recipes of several families share.

A family's `recipe(dataset, shots)` stands beside its learner and returns the settings of the paper,
for 1 or 5 shots; its docstring says what the paper did where that is known, and what is ours where
it is not, or where a CPU would take too long. Images of data sets that are not `PUBLISHED` are
taken for photographs.
"""

import re
from typing import Any

Recipe = dict[str, Any]

CHARACTERS = ("omniglot", "glyphs")
PUBLISHED = (*CHARACTERS, "cifar_fs", "fc100", "mini_imagenet")

# Digits and letters, by our names and by those of TensorFlow Datasets
UNMIRRORED = frozenset(
    (
        *CHARACTERS,
        "binary_alpha_digits",
        "cmaterdb",
        "emnist",
        "kmnist",
        "mnist",
        "mnist_corrupted",
        "omniglot_vinyals",
        "svhn_cropped",
        "usps",
    )
)

# No augmentation of characters: a mirrored one may be another, or look like a turned one, another
# class on Omniglot.
PLAIN: Recipe = dict(augment="none", support_copies=1)

# Training through a head, in episodes of photographs: Adam at 1e-3 is that of Snell et al. 2017,
# the rest is ours.
PHOTOGRAPHS: Recipe = dict(
    backbone="conv4-64",
    norm="running",
    lr=1e-3,
    schedule="cosine",
    augment="flip,crop",
    train_queries=5,
    meta_batch=2,
)

# Of glyphs, a first look of some minutes on two CPU cores: ours.
FIRST_LOOK: Recipe = dict(steps=600, valid_every=200, valid_episodes=200, episodes=1000)


def unmirrored(dataset: str) -> bool:
    """Whether images of a dataset are digits or letters: a mirrored one may be another."""
    name = dataset.removeprefix("labelled_").removeprefix("tfds:")
    return re.split("[/:]", name)[0] in UNMIRRORED
