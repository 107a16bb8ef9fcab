"""What a training leaves: meta-parameters, the images they take, how well they did."""

from typing import NamedTuple

import numpy as np

from metalearn.types import FILTERS, InputSpec, PyTree


class Best(NamedTuple):
    """Validation accuracy of the best checkpoint so far and its step; (-1, 0) before the first
    validation.
    """

    accuracy: float = -1.0
    step: int = 0


class Trained(NamedTuple):
    """What a training leaves: enough to test or use it without its data set or its optimiser.

    Attributes:
      meta: what did best on validation, with running statistics under `moments` where the method
        has any; of a run of an older version without.
      inputs: the images that it takes; None of a run of an older version.
      best: when, and how well.
    """

    meta: PyTree
    inputs: InputSpec | None
    best: Best


def as_tree(inputs: InputSpec) -> dict[str, np.ndarray]:
    """What a body takes, as arrays that a checkpoint can hold."""
    return {
        "size": np.array(inputs.size, np.int32),
        "mean": np.array(inputs.mean),
        "std": np.array(inputs.std),
        "resize": np.array(FILTERS.index(inputs.resize), np.int32),  # arrays alone are kept
    }


def as_inputs(tree: dict[str, np.ndarray]) -> InputSpec:
    """What `as_tree` made these arrays of."""
    height, width = (int(side) for side in tree["size"])
    mean, std = (tuple(tree[name].tolist()) for name in ("mean", "std"))
    return InputSpec((height, width), mean, std, FILTERS[int(tree["resize"])])
