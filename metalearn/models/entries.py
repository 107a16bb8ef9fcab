"""What becomes of the arrays of a file of weights, one entry for each, in PyTorch's names."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

PARAMS = "params"
MOMENTS = "moments"
CLASSIFIER = "classifier"  # of the classes that the weights were trained on; files may lack it
COUNTERS = r"num_batches_tracked$"  # of PyTorch's normalisation: how many batches it has seen
Change = Callable[..., np.ndarray]
Place = tuple[str, ...]


class Entry(NamedTuple):
    """What becomes of an array, or of several.

    Attributes:
      tree: `params`, `moments` or `classifier`.
      path: where in that tree.
      keys: the arrays' names in the file; none for what a library fixes.
      change: makes ours of theirs.
    """

    tree: str
    path: Place
    keys: tuple[str, ...]
    change: Change


def as_is(array: np.ndarray) -> np.ndarray:
    """An array laid out as ours."""
    return array


def kernel_of_torch(array: np.ndarray) -> np.ndarray:
    """[F,Ch,kh,kw] as [kh,kw,Ch,F]."""
    return array.transpose(2, 3, 1, 0)


def matrix_of_torch(array: np.ndarray) -> np.ndarray:
    """[out,in] as [in,out]."""
    return array.T


def less(mean: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The mean without the convolution's bias, which normalisation takes away."""
    return mean - bias


def conv_norm(path: Place, conv: str, norm: str, biased: bool = False) -> Iterator[Entry]:
    """Entries of a `ConvNorm` from PyTorch's convolution and normalisation of these names.

    Args:
      path: of the layer here.
      conv: name of the convolution.
      norm: name of the normalisation.
      biased: the convolution has a bias, too.
    """
    yield Entry(PARAMS, (*path, "kernel"), (f"{conv}.weight",), kernel_of_torch)
    yield Entry(PARAMS, (*path, "norm", "scale"), (f"{norm}.weight",), as_is)
    yield Entry(PARAMS, (*path, "norm", "shift"), (f"{norm}.bias",), as_is)
    mean = (f"{norm}.running_mean", f"{conv}.bias") if biased else (f"{norm}.running_mean",)
    yield Entry(MOMENTS, (*path, "norm", "mean"), mean, less if biased else as_is)
    yield Entry(MOMENTS, (*path, "norm", "var"), (f"{norm}.running_var",), as_is)


def conv_bias(path: Place, name: str) -> Iterator[Entry]:
    """Entries {kernel, bias} of PyTorch's convolution of that name."""
    yield Entry(PARAMS, (*path, "kernel"), (f"{name}.weight",), kernel_of_torch)
    yield Entry(PARAMS, (*path, "bias"), (f"{name}.bias",), as_is)


def dense(path: Place, name: str, tree: str = PARAMS) -> Iterator[Entry]:
    """Entries {kernel [in,out], bias} of PyTorch's linear layer of that name."""
    yield Entry(tree, (*path, "kernel"), (f"{name}.weight",), matrix_of_torch)
    yield Entry(tree, (*path, "bias"), (f"{name}.bias",), as_is)


def classifier(name: str) -> Iterator[Entry]:
    """Entries of the classifier that PyTorch's linear layer of that name is."""
    return dense((), name, CLASSIFIER)
