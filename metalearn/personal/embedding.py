"""Photographs to features: a pre-trained body, and the views of a photograph that it is shown.

A view is the central part of a photograph: its whole square, or three quarters of its sides, as
people hold what they mean in the middle. The features of each view are scaled to length one and
averaged; the mean over many other photographs is subtracted, where it is known for the body.
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
VIEWS = (1.0, 0.75)
MEANS = Path(__file__).with_name("means")  # of features, a file for each body
BATCH = 16  # images at once, where there are several
TINY = 1e-12


class Views(NamedTuple):
    """What a body is shown of a photograph.

    Attributes:
      size: pixels a side.
      parts: of the photograph's sides that each view has, centred.
      mirror: whether each view is shown a second time, mirrored.
    """

    size: int
    parts: tuple[float, ...] = VIEWS
    mirror: bool = False

    @property
    def pixels(self) -> int:
        """A side of the photograph such that its smallest view needs no enlarging."""
        return round(self.size / min(self.parts))


class Shown(NamedTuple):
    """Which features of photographs: all that decides them, but for the weights themselves.

    Attributes:
      body: its name.
      weights: SHA-256 of the file they came from.
      inputs: the images that the body takes.
      views: of a photograph.
      mean: [D] float32, of the features of other photographs; zeros where it is not known.
    """

    body: str
    weights: str
    inputs: InputSpec
    views: Views
    mean: np.ndarray


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
      views: of a photograph; by default two at 160 pixels, or at the body's own size where it
        takes no other.

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
    views = views or Views(SIZE if name.startswith("efficientnet") else body.inputs.size[0])
    inputs = body.inputs._replace(size=(views.size, views.size))
    folded = body.params
    if body.fold is not None and body.moments:
        folded = body.fold(body.params, body.moments)
    digest = body.digest or ""
    width = jax.eval_shape(body.network.apply, folded, jnp.zeros((1, *inputs.shape))).shape[-1]
    mean = known_mean(name, digest, views)
    mean = np.zeros(width, np.float32) if mean is None else mean
    return Embedding(Shown(name, digest, inputs, views, mean), folded, body.network.apply)


def known_mean(name: str, digest: str, views: Views) -> np.ndarray | None:
    """Mean features [D] of other photographs, of exactly this body and these views; or None.

    Raises:
      UserError: the file of means is damaged.
    """
    path = MEANS / f"{name}.json"
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text())
        same = (found["weights"], found["views"]) == (digest, list_of(views))
        return np.array(found["mean"], np.float32) if same else None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): check out the project again") from error


def list_of(views: Views) -> list:
    """The views as JSON has them."""
    return [views.size, list(views.parts), views.mirror]


def views_of(found: list) -> Views:
    """The views that `list_of` wrote."""
    (size, parts, mirror) = found
    return Views(int(size), tuple(float(part) for part in parts), bool(mirror))


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
    def _features(self) -> Callable[[PyTree, np.ndarray], Array]:
        return jax.jit(partial(features, self.embedding))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features float32 [M,D] of uint8 images [M,H,W,3], less the mean of other photographs."""
        found = np.empty((len(images), len(self.embedding.shown.mean)), np.float32)
        size = 1 if len(images) == 1 else BATCH
        for start in range(0, len(images), size):
            some = images[start : start + size]
            # Every batch has one shape: the last repeats its last image
            filled = np.concatenate([some, np.repeat(some[-1:], size - len(some), axis=0)])
            z = self._features(self.embedding.params, filled)
            found[start : start + size] = np.asarray(z)[: len(some)]
        return found


def features(embedding: Embedding, params: PyTree, images: Array) -> Array:
    """Features [B,D] of uint8 images [B,H,W,3], less the mean of other photographs.

    Args:
      embedding: whose they are.
      params: its weights.
      images: squares of any size.
    """
    views = view_features(embedding, params, images)
    return jnp.stack([unit(z) for z in views]).mean(0) - embedding.shown.mean


def view_features(embedding: Embedding, params: PyTree, images: Array) -> list[Array]:
    """Features [B,D] of each view of uint8 images [B,H,W,3]."""
    shown = embedding.shown
    prepare = standardise(shown.inputs)
    found = []
    for part in shown.views.parts:
        x = prepare(centre_of(images, part))
        for turned in (x, x[:, :, ::-1]) if shown.views.mirror else (x,):
            found.append(embedding.apply(params, turned).reshape(len(images), -1))
    return found


def centre_of(images: Array, part: float) -> Array:
    """The central part of images [B,H,W,3], by the share of their sides."""
    (height, width) = images.shape[1:3]
    rows = round(height * part)
    columns = round(width * part)
    top = (height - rows) // 2
    left = (width - columns) // 2
    return images[:, top : top + rows, left : left + columns]


def unit(z: Array) -> Array:
    """Rows of length one; rows of zeros stay."""
    return z / jnp.sqrt(jnp.maximum(jnp.square(z).sum(-1, keepdims=True), TINY))
