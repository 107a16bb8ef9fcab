"""Photographs to features: a pre-trained body, and the views of a photograph that it is shown.

A view is a square part of a photograph: all of it, or its middle, where people hold what they mean.
The features of each view are scaled to length one and averaged; the mean over many other
photographs is subtracted, where it is known for the body. Photographs that a recogniser is fitted
to are shown in further views, so that few of them say more.
"""

import functools
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.data.inputs import standardise
from metalearn.learners.supervised_recipes import usual_size
from metalearn.models.zoo import load_body
from metalearn.personal.feature_cache import FeatureCache
from metalearn.personal.known_mean import known_mean
from metalearn.personal.views import USUAL, View, Views, list_of, seen, views_named
from metalearn.types import Array, Body, InputSpec, PyTree

BODY = "efficientnet-lite0"
PRIOR = 20.0  # photographs that the mean of others counts as
VERSION = 2  # of features that are kept; raised whenever they become others
BATCH = 16  # images at once, where there are several
# Always, of those fitted to: one that is added later has the same features to the bit
FITTED_BATCH = 4
TOGETHER = 2  # batches at once: the small layers of one leave cores idle, which the other takes
TINY = 1e-12


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
    body: str = BODY, weights: str | Path | None = None, views: Views | str = USUAL
) -> Embedding:
    """The embedding of a pre-trained body.

    Args:
      body: key of `metalearn.models.zoo.BODIES`.
      weights: their file; those that are installed by default.
      views: of a photograph; or their name, as of `views_named`, at 160 pixels for an
        EfficientNet-Lite and at the body's own size for others.

    Raises:
      UserError: no such views; or as `load_body`.
    """
    found = load_body(body, weights)
    return embedding_of(found.name or body, found, views)


def embedding_of(name: str, body: Body, views: Views | str = USUAL) -> Embedding:
    """The embedding of a body with its weights.

    Args:
      name: of the body.
      body: with weights, and the digest of their file.
      views: of a photograph, as of `load_embedding`.

    Raises:
      UserError: no such views.
    """
    assert body.params is not None
    own = body.inputs.size[0]
    if isinstance(views, str):
        views = views_named(views, usual_size(name) or own, own)
    folded = body.params
    if body.fold is not None and body.moments:
        (params, moments) = jax.tree.map(np.asarray, (body.params, body.moments))
        folded = jax.device_put(body.fold(params, moments))
    digest = body.digest or ""
    mean = known_mean(name, digest)
    prior = 0.0 if mean is None else PRIOR
    if mean is None:
        image = jnp.zeros((1, *body.inputs.shape))
        width = jax.eval_shape(body.network.apply, folded, image).shape[-1]
        mean = np.zeros(width, np.float32)
    shown = Shown(name, digest, body.inputs, views, mean, prior)
    return Embedding(shown, folded, body.network.apply)


def cache_of(shown: Shown, root: Path) -> FeatureCache:
    """Where features of photographs that are fitted to are kept.

    Args:
      shown: which features.
      root: folder of caches.
    """
    what = [VERSION, shown.body, shown.weights, shown.inputs, list_of(shown.views)]
    digest = hashlib.sha256(json.dumps(what).encode())
    digest.update(np.ascontiguousarray(shown.mean).tobytes())
    return FeatureCache(root / "photos" / digest.hexdigest()[:16], len(shown.mean))


class Embedder:
    """`(images) -> features`, compiled once for one image and once for several.

    Args:
      load: of the embedding, when features are first asked for.
      root: folder of caches, where features of photographs that are fitted to are kept; None for
        nowhere.
    """

    def __init__(self, load: Callable[[], Embedding], root: Path | None = None):
        self._load = load
        self._root = root

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
        if not fitted:
            return self._computed(self._shown, images, 1 if len(images) == 1 else BATCH)
        if self._root is None:
            return self._computed(self._fitted, images, FITTED_BATCH)
        cache = cache_of(self.embedding.shown, self._root)
        found = [cache.read(image) for image in images]
        missing = [place for place, z in enumerate(found) if z is None]
        computed = self._computed(self._fitted, images[missing], FITTED_BATCH)
        for place, z in zip(missing, computed, strict=True):
            found[place] = z
            cache.write(images[place], z)
        return np.stack([z for z in found if z is not None])

    def _computed(self, run: Callable[..., Array], images: np.ndarray, size: int) -> np.ndarray:
        """Features by one of the compiled functions, a batch at a time."""
        found = np.empty((len(images), len(self.embedding.shown.mean)), np.float32)
        starts = range(0, len(images), size)

        def compute(start: int) -> None:
            some = images[start : start + size]
            # Every batch has one shape: the last repeats its last image
            filled = np.concatenate([some, np.repeat(some[-1:], size - len(some), axis=0)])
            z = np.asarray(run(self.embedding.params, filled))
            found[start : start + size] = z[: len(some)]

        for start in starts[:1]:  # alone, or two threads would compile it
            compute(start)
        with ThreadPoolExecutor(TOGETHER) as pool:
            list(pool.map(compute, starts[1:]))
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

    Args:
      embedding: whose they are.
      views: that they are of.
      params: its weights.
      images: uint8 [B,H,W,3], squares of any size.
    """
    shown = embedding.shown
    apply = jax.jit(embedding.apply)  # so that views of one size are traced once
    found = []
    for view in views:
        prepare = standardise(shown.inputs._replace(size=(view.size, view.size)))
        x = prepare(seen(images, view))
        for turned in (x, x[:, :, ::-1]) if shown.views.mirror else (x,):
            found.append(apply(params, turned).reshape(images.shape[0], -1))
    return found


def unit(z: Array) -> Array:
    """Rows of length one; rows of zeros stay."""
    return z / jnp.sqrt(jnp.maximum(jnp.square(z).sum(-1, keepdims=True), TINY))
