"""Products and distances of features that methods compare domains by."""

import numpy as np

from metalearn.errors import UserError

MANY = 1000  # images whose distances tell the median
KERNELS = ("linear", "rbf")


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[A,B] of x [A,D] and y [B,D], by one product; not below 0."""
    found = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * (x @ y.T)
    return np.maximum(found, 0, out=found)


def median_distance(z: np.ndarray) -> float:
    """Median distance of two different images of z [M,D]; of every so many where there are many.

    Where half of the images are equal, the mean distance.
    """
    some = z[:: -(-len(z) // MANY)]
    distances = np.sqrt(squared_distances(some, some)[np.triu_indices(len(some), 1)])
    return float(np.median(distances) or distances.mean() or 1.0)


class Kernel:
    """A kernel k(x, y) whose scale is that of some images, so that it does not change with theirs.

    linear: x y over the mean square of the images' lengths. rbf: exp(-|x - y|^2 / 2 s^2), s their
    median distance times a width. Its mean over each image with itself is 1.
    """

    def __init__(self, kind: str, z: np.ndarray, width: float = 1.0):
        """Of images z [M,D].

        Raises:
          UserError: unknown kind; a width that is not above 0.
        """
        if kind not in KERNELS:
            raise UserError(f"unknown kernel '{kind}': choose one of {', '.join(KERNELS)}")
        if not width > 0:
            raise UserError(f"the kernel's width is {width}: give a number above 0")
        self.kind = kind
        if kind == "linear":
            self.scale = float(np.square(z).sum(1).mean())
        else:
            self.scale = width * median_distance(z)

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """[A,B] of x [A,D] and y [B,D]."""
        if self.kind == "linear":
            return x @ y.T / self.scale
        found = squared_distances(x, y)
        found /= -2 * self.scale**2
        return np.exp(found, out=found)
