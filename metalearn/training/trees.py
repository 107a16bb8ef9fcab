"""Trees of arrays as checkpoints hold them: their shapes, and the spec of a body's inputs."""

import jax
import numpy as np

from metalearn.types import FILTERS, InputSpec, PyTree


def shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    """Shape by path of every leaf; containers differ by their keys, not by their types."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape)
        for path, leaf in leaves
    }


def inputs_to_tree(inputs: InputSpec) -> dict[str, np.ndarray]:
    """The spec as a tree: a checkpoint keeps arrays alone, so the filter is saved by its place."""
    return {
        "size": np.array(inputs.size, np.int32),
        "mean": np.array(inputs.mean),
        "std": np.array(inputs.std),
        "resize": np.array(FILTERS.index(inputs.resize), np.int32),
    }


def inputs_from_tree(tree: dict[str, np.ndarray]) -> InputSpec:
    """The spec that `inputs_to_tree` made a tree of."""
    height, width = (int(side) for side in tree["size"])
    mean, std = (tuple(tree[name].tolist()) for name in ("mean", "std"))
    return InputSpec((height, width), mean, std, FILTERS[int(tree["resize"])])
