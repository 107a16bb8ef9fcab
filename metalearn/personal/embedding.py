"""Photographs to features: a pre-trained body, and the views of a photograph that it is shown.

A view is a square part of a photograph: all of it, or its middle, where people hold what they mean.
The features of each view are scaled to length one and averaged; the mean over many other
photographs is subtracted, where it is known for the body. Photographs that a recogniser is fitted
to are shown in further views, so that few of them say more.
"""

import functools
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.data.inputs import standardise
from metalearn.errors import UserError
from metalearn.models.zoo import load_body
from metalearn.types import Array, Body, InputSpec, PyTree

BODY = "efficientnet-lite0"
SIZE = 160  # pixels a side that the default body is shown
MIDDLE = 0.75  # of a side
CORNER = 0.8
MEANS = Path(__file__).with_name("means")  # of features, a file for each body
PRIOR = 20.0  # photographs that the mean of others counts as
LARGEST = 2048  # pixels a side that a recogniser's file may ask for
LEAST = 0.05  # of a side that it may ask for
BATCH = 16  # images at once, where there are several
TINY = 1e-12


class View(NamedTuple):
    """A square part of a photograph.

    Attributes:
      size: pixels a side that the body is shown.
      part: of the photograph's side.
      down: where it is, from 0 at the top to 1 at the bottom.
      across: from 0 at the left to 1 at the right.
    """

    size: int
    part: float = 1.0
    down: float = 0.5
    across: float = 0.5


class Views(NamedTuple):
    """What a body is shown of a photograph.

    Attributes:
      shown: of every photograph.
      fitted: further ones, of those that a recogniser is fitted to.
      mirror: whether each is shown a second time, mirrored.
    """

    shown: tuple[View, ...]
    fitted: tuple[View, ...] = ()
    mirror: bool = False

    @property
    def pixels(self) -> int:
        """A side of the photograph such that no view needs enlarging."""
        return max(round(view.size / view.part) for view in self.shown + self.fitted)


def usual_views(size: int) -> Views:
    """All of a photograph and its middle; of fitted ones two corners as well."""
    corners = (View(size, CORNER, 0.0, 0.0), View(size, CORNER, 1.0, 1.0))
    return Views((View(size), View(size, MIDDLE)), corners)


class Shown(NamedTuple):
    """Which features of photographs: all that decides them, but for the weights themselves.

    Attributes:
      body: its name.
      weights: SHA-256 of the file they came from.
      inputs: the images that the body takes; their size is that of a view.
      views: of a photograph.
      mean: [D] float32, of the features of other photographs; zeros where it is not known.
      prior: photographs that it counts as, beside the mean of one's own; 0 where it is not known.
    """

    body: str
    weights: str
    inputs: InputSpec
    views: Views
    mean: np.ndarray
    prior: float


class Embedding(NamedTuple):
    """A body ready to make features of photographs.

    Attributes:
      shown: which features.
      params: weights of the body, running statistics folded in.
      apply: `(params, x [B,H,W,3]) -> z [B,D]`.
    """

    shown: Shown
    params: PyTree
    apply: Callable[[PyTree, Array], Array]


def load_embedding(
    body: str = BODY, weights: str | Path | None = None, views: Views | None = None
) -> Embedding:
    """The embedding of a pre-trained body.

    Args:
      body: key of `metalearn.models.zoo.BODIES`.
      weights: their file; those that are installed by default.
      views: of a photograph; by default those of `usual_views`, at 160 pixels or at the body's own
        size where it takes no other.

    Raises:
      UserError: as `load_body`.
    """
    return embedding_of(body, load_body(body, weights), views)


def embedding_of(name: str, body: Body, views: Views | None = None) -> Embedding:
    """The embedding of a body with its weights.

    Args:
      name: of the body.
      body: with weights, and the digest of their file.
      views: of a photograph, as of `load_embedding`.
    """
    assert body.params is not None
    views = views or usual_views(SIZE if name == BODY else body.inputs.size[0])
    folded = body.params
    if body.fold is not None and body.moments:
        folded = body.fold(body.params, body.moments)
    digest = body.digest or ""
    width = jax.eval_shape(body.network.apply, folded, jnp.zeros((1, *body.inputs.shape))).shape[-1]
    mean = known_mean(name, digest)
    prior = 0.0 if mean is None else PRIOR
    mean = np.zeros(width, np.float32) if mean is None else mean
    shown = Shown(name, digest, body.inputs, views, mean, prior)
    return Embedding(shown, folded, body.network.apply)


def known_mean(name: str, digest: str) -> np.ndarray | None:
    """Mean features [D] of other photographs, of a body with exactly these weights; or None.

    Raises:
      UserError: the file of means is damaged.
    """
    path = MEANS / f"{name}.json"
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text())
        same = found["weights"] == digest
        return np.array(found["mean"], np.float32) if same else None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): check out the project again") from error


def list_of(views: Views) -> list:
    """The views as JSON has them."""
    return [*([list(view) for view in some] for some in views[:2]), views.mirror]


def views_of(found: list) -> Views:
    """The views that `list_of` wrote.

    Raises:
      TypeError, ValueError, ArithmeticError: it did not write this.
    """
    (shown, fitted, mirror) = found
    return Views(_views(shown), _views(fitted), bool(mirror))


def _views(found: list) -> tuple[View, ...]:
    views = tuple(View(int(size), *map(float, rest)) for size, *rest in found)
    for view in views:
        if not (1 <= view.size <= LARGEST and LEAST <= view.part <= 1):
            raise ValueError(f"a view of {view.size} pixels of {view.part} of a side")
        if not (0 <= view.down <= 1 and 0 <= view.across <= 1):
            raise ValueError("a view outside of its photo")
    return views


class Embedder:
    """`(images) -> features`, compiled once for one image and once for several.

    Args:
      load: of the embedding, when features are first asked for.
    """

    def __init__(self, load: Callable[[], Embedding]):
        self._load = load

    @functools.cached_property
    def embedding(self) -> Embedding:
        """The body, loaded by now."""
        return self._load()

    @functools.cached_property
    def _shown(self) -> Callable[[PyTree, np.ndarray], Array]:
        return jax.jit(partial(features, self.embedding, self.embedding.shown.views.shown))

    @functools.cached_property
    def _fitted(self) -> Callable[[PyTree, np.ndarray], Array]:
        views = self.embedding.shown.views
        return jax.jit(partial(features, self.embedding, views.shown + views.fitted))

    def __call__(self, images: np.ndarray, fitted: bool = False) -> np.ndarray:
        """Features float32 [M,D] of photographs, less the mean of others.

        Args:
          images: uint8 [M,H,W,3], squares.
          fitted: whether a recogniser is to be fitted to them.
        """
        run = self._fitted if fitted else self._shown
        found = np.empty((len(images), len(self.embedding.shown.mean)), np.float32)
        size = 1 if len(images) == 1 else BATCH
        for start in range(0, len(images), size):
            some = images[start : start + size]
            # Every batch has one shape: the last repeats its last image
            filled = np.concatenate([some, np.repeat(some[-1:], size - len(some), axis=0)])
            found[start : start + size] = np.asarray(run(self.embedding.params, filled))[
                : len(some)
            ]
        return found


def features(embedding: Embedding, views: tuple[View, ...], params: PyTree, images: Array) -> Array:
    """Features [B,D] of photographs, less the mean of others.

    Args:
      embedding: whose they are.
      views: that they are of.
      params: its weights.
      images: uint8 [B,H,W,3], squares of any size.
    """
    of_views = [unit(z) for z in view_features(embedding, views, params, images)]
    return jnp.stack(of_views).mean(0) - embedding.shown.mean


def view_features(
    embedding: Embedding, views: tuple[View, ...], params: PyTree, images: Array
) -> list[Array]:
    """Features [B,D] of each view, and of each mirrored.

    Arguments are those of `features`.
    """
    shown = embedding.shown
    found = []
    for view in views:
        prepare = standardise(shown.inputs._replace(size=(view.size, view.size)))
        x = prepare(seen(images, view))
        for turned in (x, x[:, :, ::-1]) if shown.views.mirror else (x,):
            found.append(embedding.apply(params, turned).reshape(len(images), -1))
    return found


def seen(images: Array, view: View) -> Array:
    """The part of images [B,H,W,3] that a view has."""
    (height, width) = images.shape[1:3]
    rows = round(height * view.part)
    columns = round(width * view.part)
    top = round((height - rows) * view.down)
    left = round((width - columns) * view.across)
    return images[:, top : top + rows, left : left + columns]


def unit(z: Array) -> Array:
    """Rows of length one; rows of zeros stay."""
    return z / jnp.sqrt(jnp.maximum(jnp.square(z).sum(-1, keepdims=True), TINY))
