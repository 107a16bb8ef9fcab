"""The usual model: a pre-trained body, and a head fitted to its features."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.errors import UserError
from metalearn.models.zoo import make_body
from metalearn.personal.embedding import (
    Embedder,
    Embedding,
    Shown,
    load_embedding,
)
from metalearn.personal.heads import HEADS, check_method, chosen_head
from metalearn.personal.model import (
    Arrays,
    Kept,
    Made,
    Maker,
    Model,
    flat,
    nested,
    read_inputs,
    rounded,
)
from metalearn.personal.views import list_of, views_of
from metalearn.transfer.fitted import Probe
from metalearn.transfer.probes import apply_probe
from metalearn.types import FILTERS

KIND = "probe"
RGB = 3  # channels
LARGE = 1000.0  # weights above which 16 bits would change answers


def probed(shown: Shown, embedder: Embedder, method: str, included: bool = False) -> Maker:
    """What makes the model of a body's embedding and a head.

    Args:
      shown: which features.
      embedder: that makes them.
      method: key of `HEADS`, or `auto`: by the number of photographs.
      included: whether the body's weights came with a recogniser's file.

    Raises:
      UserError: unknown method.
    """
    check_method(method)

    def make(counts: np.ndarray) -> Made:
        (head, why) = chosen_head(method, counts)
        model = _model(shown, embedder, method, head, make)
        return Made(replace(model, included=included), f"{head}: {why}")

    return make


def _model(shown: Shown, embedder: Embedder, method: str, head: str, make: Maker) -> Model:
    made_of = {
        "body": shown.body,
        "weights": shown.weights,
        "inputs": shown.inputs._asdict(),
        "views": list_of(shown.views),
        "prior": shown.prior,
        "method": method,
    }

    def keep(images: np.ndarray) -> Kept:
        return rounded(embedder(images, fitted=True))

    return Model(
        kind=KIND,
        made_of=made_of,
        weights={"mean": shown.mean},
        body=lambda: flat(embedder.embedding.params),
        make=make,
        pixels=shown.views.pixels,
        calibrated=True,
        prior=shown.prior,
        keep=keep,
        ask=embedder,
        fit=partial(_fit, head, shown.prior),
        logits=partial(_logits, len(shown.mean)),
        vectors=_vectors,
    )


def open_probed(
    made_of: dict[str, Any], arrays: Arrays, body: Arrays | None, weights: str | Path | None
) -> Maker:
    """What makes the model again of what a file holds; the body is loaded when first used.

    Args:
      made_of: as `probed` wrote it.
      arrays: weights of the model.
      body: of the body, where they are included.
      weights: the body's file; those that are installed by default.

    Raises:
      KeyError, TypeError, ValueError: it is not what `probed` wrote.
      UserError: when features are asked for: the weights are not there, or are others.
    """
    shown = read_shown(made_of, arrays["mean"])
    params = None if body is None else checked_params(shown, nested(body))

    def load() -> Embedding:
        if params is not None and weights is None:
            return Embedding(shown, params, make_body(shown.body).network.apply)
        found = load_embedding(shown.body, weights, shown.views)
        if found.shown.weights != shown.weights:
            raise UserError(
                f"this recogniser was fitted with other weights of {shown.body} (SHA-256 "
                f"{shown.weights[:16]}..., here {found.shown.weights[:16]}...): give their file "
                "(--weights=FILE), or fit it again"
            )
        # Files once said less of the body than its weights do
        return found._replace(shown=shown._replace(body=found.shown.body))

    return probed(shown, Embedder(load), str(made_of["method"]), included=body is not None)


def read_shown(made_of: dict[str, Any], mean: np.ndarray) -> Shown:
    """Which features, as `probed` wrote it.

    Raises:
      KeyError, TypeError, ValueError: it is not what `probed` wrote.
    """
    spec = read_inputs(made_of["inputs"])
    views = views_of(made_of["views"])
    prior = float(made_of["prior"])
    fits = len(spec.mean) == len(spec.std) == RGB and spec.resize in FILTERS
    if mean.ndim != 1 or not fits or not np.isfinite([*spec.mean, *spec.std]).all():
        raise ValueError("what its body is shown is not that of a body")
    if not views.shown or not prior >= 0:
        raise ValueError("its features are of no view, or of a prior below 0")
    return Shown(str(made_of["body"]), str(made_of["weights"]), spec, views, mean, prior)


def checked_params(shown: Shown, params: dict[str, Any]) -> dict[str, Any]:
    """The weights of a body, if it takes them and gives features as wide as their mean.

    Raises:
      ValueError: they are not.
      UserError: no such body.
    """
    body = make_body(shown.body)
    image = jnp.zeros((1, *body.inputs.shape))
    try:
        found = jax.eval_shape(body.network.apply, params, image)
    except Exception as error:  # Flax and JAX have errors of their own
        raise ValueError(f"the body's weights are not those of {shown.body}") from error
    if found.shape[-1:] != shown.mean.shape:
        raise ValueError(f"features {found.shape[-1]} wide, their mean {len(shown.mean)}")
    if not all(np.isfinite(part).all() for part in flat(params).values()):
        raise ValueError("the body's weights are no numbers")
    return params


def _fit(head: str, prior: float, z: np.ndarray, y: np.ndarray, classes: int) -> Arrays:
    """The head's numbers, rounded to 16 bits as the file keeps them.

    Weights of photographs that hardly differ are large: they stay as they are.
    """
    if classes == 1 or (z == z[0]).all():  # nothing to tell apart
        return {
            "w": np.zeros((z.shape[1], classes), np.float16),
            "b": np.zeros(classes, np.float32),
        }
    probe = HEADS[head](z, y, classes, prior)
    small = np.abs(probe.w).max() <= LARGE
    found = {"w": probe.w.astype(np.float16) if small else probe.w, "b": probe.b}
    if probe.kind == "cosine":
        found["centre"] = probe.centre.astype(np.float16)
        found["scale"] = np.array([probe.scale], np.float32)
    return found


def _logits(width: int, state: Arrays, z: np.ndarray) -> np.ndarray:
    if z.shape[1:] != (width,) or z.dtype.kind != "f" or state["w"].ndim != 2:
        raise ValueError(f"features {list(z.shape)}, not {width} wide")
    w = state["w"].astype(np.float32)
    if "scale" not in state:
        return z @ w + state["b"]
    centre = state["centre"].astype(np.float32)
    probe = Probe(w, state["b"], "cosine", centre, 0.0, float(state["scale"][0]), "")
    return apply_probe(probe, z)


def _vectors(state: Arrays, z: np.ndarray) -> np.ndarray:
    return z
