"""Normalisation layers among a body's parameters, for methods that treat these apart."""

from metalearn.types import PyTree


def norm_layers(body: PyTree) -> PyTree:
    """The part {name: {scale [F], shift [F]}} of a body's parameters (see `Network`)."""
    return {
        name: layer for name, layer in body.items() if isinstance(layer, dict) and "scale" in layer
    }
