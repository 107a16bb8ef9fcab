"""Images whose labels are known, of which a strategy sees only those that it asked for."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from metalearn.transfer.fitted import UNSEEN


class Images(NamedTuple):
    """Features and labels of the images that labels may be asked for, and of those tested.

    Attributes:
      z: float32 [N,D], of the pool.
      y: int [N].
      alike: int [N], the same number for images that show the same.
      test_z: float32 [Q,D].
      test_y: int [Q].
      classes: C.
      places: int [N], of the pool's images among all that it was drawn from.
    """

    z: np.ndarray
    y: np.ndarray
    alike: np.ndarray
    test_z: np.ndarray
    test_y: np.ndarray
    classes: int
    places: np.ndarray

    def drawn(self, number: int, seed: int) -> "Images":
        """The same with so many images of the pool; all for 0."""
        if not number:
            return self
        rows = np.sort(np.random.default_rng(seed).permutation(len(self.y))[:number])
        arrays = {name: getattr(self, name)[rows] for name in ("z", "y", "alike", "places")}
        return self._replace(**arrays)


class Answers(NamedTuple):
    """What a classifier says.

    Attributes:
      pool: logits [N,C] of the pool's images.
      test: logits [Q,C] of the test images.
    """

    pool: np.ndarray
    test: np.ndarray


# Images and positions int [L] of labelled ones, of two classes or more -> what a classifier says
# that was fitted to them
Fit = Callable[[Images, np.ndarray], Answers]


def centred(images: Images) -> Images:
    """The images with features less the mean of the pool, which needs no labels."""
    mean = images.z.mean(0)
    return images._replace(z=images.z - mean, test_z=images.test_z - mean)


def fitted(fit: Fit, images: Images, labelled: np.ndarray) -> Answers:
    """What is fitted to labelled images; of one class alone, the answer is always that one."""
    present = np.unique(images.y[labelled])
    if len(present) > 1:
        return fit(images, labelled)
    constant = np.full(images.classes, UNSEEN, np.float32)
    constant[present] = 0
    both = (np.tile(constant, (len(z), 1)) for z in (images.z, images.test_z))
    return Answers(*both)


def free_images(labelled: np.ndarray, alike: np.ndarray, distinct: bool) -> np.ndarray:
    """bool [N]: images without a label; with `distinct` one of those that show the same.

    Args:
      labelled: int [L], positions.
      alike: int [N], the same number for images that show the same.
      distinct: whether images that show the same as another one are left out.
    """
    free = np.ones(len(alike), bool)
    if distinct:
        (_, first) = np.unique(alike, return_index=True)
        free[:] = False
        free[first] = True
        free &= ~np.isin(alike, alike[labelled])
    free[labelled] = False
    return free
