"""A whole recogniser as one function of images, for files that other programs run."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metalearn.errors import UserError
from metalearn.models.forms import plain_forms
from metalearn.personal.embedding import Embedder, Embedding, features, unit
from metalearn.personal.fitted import Fitted
from metalearn.personal.model import Arrays, nested
from metalearn.personal.probed import KIND, read_shown
from metalearn.types import Array

Constants = Mapping[str, Any]  # arrays, or what JAX traces in their place
BODY = "body/"  # how the labels of the body's weights begin


class Exported(NamedTuple):
    """A recogniser as a function.

    Attributes:
      function: `(constants, images uint8 [N,P,P,3]) -> probabilities [N,C], familiarity [N]`.
      constants: its numbers, by label.
      pixels: P.
    """

    function: Callable[[Constants, Array], tuple[Array, Array]]
    constants: Arrays
    pixels: int


def function_of(fitted: Fitted) -> Exported:
    """The function that a recogniser computes of photographs.

    Raises:
      UserError: it was not fitted to the features of a pre-trained body.
    """
    model = fitted.model
    if model.kind != KIND:
        raise UserError(
            f"a recogniser of the kind '{model.kind}' cannot be exported: fit one to the features "
            "of a pre-trained body (fit --backbone=...)"
        )
    shown = read_shown(model.made_of, model.weights["mean"])
    assert isinstance(model.ask, Embedder)  # as of all of this kind
    apply = model.ask.embedding.apply
    familiar = fitted.familiar
    constants = {f"{BODY}{path}": np.asarray(part) for path, part in model.body().items()}
    for name, part in fitted.state.items():
        constants[f"head/{name}"] = part.astype(np.float32)
    constants |= {
        "familiar/centre": familiar.centre,
        "familiar/means": familiar.means,
        "familiar/usual": familiar.usual.astype(np.float32),
    }

    def function(given: Constants, images: Array) -> tuple[Array, Array]:
        params = nested({k.removeprefix(BODY): x for k, x in given.items() if k.startswith(BODY)})
        embedding = Embedding(shown, params, apply)
        with plain_forms():
            z = features(embedding, shown.views.shown, params, images)
        logits = _logits(given, z) / fitted.temperature
        probabilities = jax.nn.softmax(logits)
        return probabilities, _familiarity(given, z, probabilities)

    return Exported(function, constants, model.pixels)


def _logits(given: Constants, z: Array) -> Array:
    """Logits [N,C] of features z [N,D], as `metalearn.transfer.probes.apply_probe`."""
    (w, b) = (given["head/w"], given["head/b"])
    if "head/scale" not in given:
        return z @ w + b
    return given["head/scale"] * (unit(z - given["head/centre"]) @ w) + b


def _familiarity(given: Constants, z: Array, probabilities: Array) -> Array:
    """How familiar each photograph is, [N], as `metalearn.personal.unknown.familiarity`."""
    cosines = unit(z - given["familiar/centre"]) @ given["familiar/means"].T
    answers = probabilities.argmax(1)
    chosen = jnp.arange(probabilities.shape[1]) == answers[:, None]
    of_answer = jnp.where(chosen, cosines / given["familiar/usual"], 0).sum(1)
    return of_answer * jnp.sqrt(probabilities.max(1))
