"""Which places of a photograph speak for the class that is answered: class activation maps.

Zhou et al. 2016, "Learning deep features for discriminative localization", equations 1 and 2. The
features of a view are the mean over places of what the body's last stage makes of each place alone,
so a linear head's logits are the mean over places of the logits of places. Nothing is estimated:
what the places say adds up to the answer. A cosine head is linear but for the length of the
features, which is taken as it is. Two differences from the paper: a place counts by the logit of
the answered class less the mean logit of all, as a probability depends on differences alone; and
the maps of all views are laid on each other.

Bodies whose features are no such mean (vision transformers, VGG) get no map. Gradients, as Grad-CAM
takes them, would give them an estimate; that is not done here.
"""

import functools
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from metalearn.data.inputs import standardise
from metalearn.data.snapshots import Snapshot
from metalearn.models.zoo import BODIES, make_body
from metalearn.personal.embedding import Embedder, Embedding
from metalearn.personal.fitted import Fitted
from metalearn.personal.model import Arrays, Model
from metalearn.personal.views import seen, span
from metalearn.types import Array, Body, PyTree

TOLERANCE = 1e-3  # of the largest feature, by which the mean of the places may be off
TINY = 1e-12
STRENGTH = 0.7  # of the colour where it is hottest
# Dark to yellow over red, as a body glows; and the heat at which each colour is full
GLOW = np.array([(70, 0, 90), (225, 40, 40), (255, 150, 0), (255, 240, 80)])
STEPS = (0.0, 0.45, 0.75, 1.0)


class Places(NamedTuple):
    """What a body sees at each place of a view.

    Attributes:
      features: float32 [h,w,D], whose mean over places are the features of the view.
      pooled: float32 [D], these features as the whole body gives them.
    """

    features: np.ndarray
    pooled: np.ndarray


def heat_map(fitted: Fitted, snapshot: Snapshot) -> np.ndarray | None:
    """Where a photograph shows the class that is answered, float32 [pixels,pixels] in [0,1].

    0 where nothing speaks for it, 1 where most does. None for a body that has no such map, or a
    model that has no body of the zoo.

    Raises:
      UserError: as `metalearn.personal.answers.answer`.
    """
    places = see_places(fitted.model, snapshot.pixels)
    if places is None:
        return None
    assert isinstance(fitted.model.ask, Embedder)
    embedding = fitted.model.ask.embedding
    logits = place_logits(fitted, embedding, places)
    answered = int(sum(each.mean((0, 1)) for each in logits).argmax())
    for_it = [each[..., answered] - each.mean(-1) for each in logits]
    return hottest_one(laid_together(embedding, for_it, len(snapshot.pixels)))


def see_places(model: Model, image: np.ndarray) -> list[Places] | None:
    """What a model's body sees at each place of each view of an image uint8 [H,W,3].

    None for a body whose features are no mean over places, or a model without a body of the zoo.
    """
    embedder = model.ask
    if not isinstance(embedder, Embedder) or embedder.embedding.shown.body not in BODIES:
        return None
    return _seer(embedder)(image)


@functools.lru_cache(maxsize=4)
def _seer(embedder: Embedder) -> Callable[[np.ndarray], list[Places] | None]:
    """What sees places, compiled once for each body."""
    return seer(embedder.embedding, make_body(embedder.embedding.shown.body))


def seer(embedding: Embedding, body: Body) -> Callable[[np.ndarray], list[Places] | None]:
    """`(image uint8 [H,W,3]) -> places of each view`; None where features are no mean over them.

    Args:
      embedding: whose views and weights they are.
      body: the same network, stage by stage.
    """
    run = jax.jit(partial(_views_seen, embedding, body))

    def see(image: np.ndarray) -> list[Places] | None:
        found = run(embedding.params, image[None])
        if found is None:
            return None
        places = [Places(*map(np.asarray, view)) for view in found]
        for features, pooled in places:
            gap = np.abs(features.mean((0, 1)) - pooled).max()
            if gap > TOLERANCE * np.abs(pooled).max() + TINY:
                return None
        return places

    return see


def _views_seen(
    embedding: Embedding, body: Body, params: PyTree, image: Array
) -> list[tuple[Array, Array]] | None:
    """Features [h,w,D] of places, and [D] of the view, for each view in the embedding's order."""
    shown = embedding.shown
    found = []
    for view in shown.views.shown:
        prepare = standardise(shown.inputs._replace(size=(view.size, view.size)))
        x = prepare(seen(image, view))
        for turned in (x, x[:, :, ::-1]) if shown.views.mirror else (x,):
            of_view = _places(body, params, turned)
            if of_view is None:
                return None
            found.append(of_view)
    return found


def _places(body: Body, params: PyTree, x: Array) -> tuple[Array, Array] | None:
    """Features of places and of all of one image [1,H,W,3], by the last stage of the body."""
    assert body.run is not None
    (*_, before, last) = body.stages
    maps = body.run(params, x, last=before)
    if maps.ndim != 4:
        return None
    (_, height, width, channels) = maps.shape
    alone = body.run(params, maps.reshape(height * width, 1, 1, channels), first=last)
    pooled = body.run(params, maps, first=last).reshape(-1)
    if alone.size != height * width * pooled.size:
        return None
    return alone.reshape(height, width, -1), pooled


def place_logits(fitted: Fitted, embedding: Embedding, places: list[Places]) -> list[np.ndarray]:
    """Logits float32 [h,w,C] of each place of each view.

    Their mean over the places of a view, then over views, are the logits of the photograph.
    """
    mean = embedding.shown.mean
    scaled = [(view.features / _length(view.pooled), view.pooled) for view in places]
    z = np.mean([pooled / _length(pooled) for (_, pooled) in scaled], 0) - mean
    (w, b) = linear_at(fitted.state, z)
    return [((features - mean) @ w + b) / fitted.temperature for (features, _) in scaled]


def linear_at(state: Arrays, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """w [D,C] and b [C] such that the head's logits of z [D] are z w + b.

    Args:
      state: as a head of `metalearn.personal.probed` has fitted it.
      z: features; of a cosine head, w and b hold for those of the same length, less the centre.
    """
    w = state["w"].astype(np.float32)
    if "scale" not in state:
        return w, state["b"]
    centre = state["centre"].astype(np.float32)
    w = w * (state["scale"] / _length(z - centre))
    return w, state["b"] - centre @ w


def _length(z: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(np.square(z).sum(), TINY))


def laid_together(embedding: Embedding, maps: list[np.ndarray], size: int) -> np.ndarray:
    """The maps [h,w] of all views, each enlarged to where its view is, added: float32 [size,size].

    A view says as much in all, however small it is: its pixels say more each. The sum is smoothed,
    by half of what a place of a whole photograph covers: nothing is known of finer detail, and the
    edges of views would show.

    Args:
      embedding: whose views they are.
      maps: of each view in their order, and of each mirrored.
      size: of the photograph, in pixels.
    """
    views = embedding.shown.views
    turns = (False, True) if views.mirror else (False,)
    order = [(view, turned) for view in views.shown for turned in turns]
    laid = np.zeros((size, size), np.float32)
    for (view, turned), each in zip(order, maps, strict=True):
        (rows, columns) = (span(size, view.part, at) for at in (view.down, view.across))
        straight = each[:, ::-1] if turned else each
        laid[rows, columns] += _enlarged(straight, columns.stop - columns.start) / view.part**2
    return gaussian_filter(laid, size / (2 * max(len(each) for each in maps)), mode="nearest")


def _enlarged(each: np.ndarray, size: int) -> np.ndarray:
    image = Image.fromarray(each.astype(np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def hottest_one(laid: np.ndarray) -> np.ndarray:
    """The map with what is below 0 at 0, and the hottest place at 1."""
    warm = np.maximum(laid, 0)
    return (warm / max(float(warm.max()), TINY)).astype(np.float32)


def overlay(pixels: np.ndarray, heat: np.ndarray) -> Image.Image:
    """The photograph in grey, and coloured where it is warm.

    Args:
      pixels: uint8 [S,S,3].
      heat: [S,S] in [0,1].
    """
    glow = np.stack([np.interp(heat, STEPS, channel) for channel in GLOW.T], -1)
    grey = pixels.mean(-1, keepdims=True)
    share = (STRENGTH * heat)[..., None]
    mixed = (1 - share) * grey + share * glow
    return Image.fromarray(np.rint(mixed).astype(np.uint8))
