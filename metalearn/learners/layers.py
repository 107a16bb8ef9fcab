"""Normalisation layers among a body's parameters, for methods that treat these apart."""

from metalearn.errors import UserError
from metalearn.types import PyTree


def norm_layers(body: PyTree) -> PyTree:
    """The part {name: {scale [F], shift [F]}} of a body's parameters (see `Network`).

    Raises:
      UserError: the layers are in stages, as those of published pre-trained bodies.
    """
    layers = {name: layer for name, layer in body.items() if isinstance(layer, dict)}
    if any(isinstance(part, dict) for layer in layers.values() for part in layer.values()):
        raise UserError(
            "MAML++ and CAVIA treat normalisation layers apart, which they do not find in a body "
            "of stages: choose another --method, or a --backbone such as conv4-64"
        )
    return {name: layer for name, layer in layers.items() if "scale" in layer}
