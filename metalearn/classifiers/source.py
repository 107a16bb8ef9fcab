"""What a body forgets: the classes that it was trained on before, tested before and after."""

from typing import NamedTuple

import numpy as np

from metalearn.data.inputs import standardise
from metalearn.evaluation.blocks import Blocks
from metalearn.learners.supervised import logits_of
from metalearn.training.backbone import tail, with_classifier
from metalearn.training.material import Material
from metalearn.types import Array, PyTree


class Source(NamedTuple):
    """The classes that a body was trained on before, to see what it forgets of them.

    Attributes:
      images: uint8 [M,H,W,Ch] of their test.
      labels: int [M].
      layer: the classifier that it had for them.
    """

    images: np.ndarray
    labels: np.ndarray
    layer: PyTree


class Remembered(NamedTuple):
    """Accuracies on the source's test images, before and after training on other labels."""

    before: float
    after: float


def remembered(material: Material, source: Source, ready: PyTree) -> Remembered:
    """Accuracies on the source's classes, of the body before and after training.

    Args:
      material: with the body before.
      source: images, and the classifier of their classes.
      ready: with the body after.
    """
    before = with_classifier(material.body, source.layer)
    after = ready | {"classifier": source.layer}
    network = tail(material.body, None)
    prepare = standardise(material.inputs)

    def logits(tested: PyTree, x: Array) -> Array:
        known = tested["moments"]["body"] if "moments" in tested else None
        return logits_of(tested["classifier"], network.apply(tested["body"], prepare(x), known))

    predict = Blocks(logits, material.mesh)

    def accuracy(tested: PyTree) -> float:
        right = predict(tested, source.images).argmax(1) == source.labels
        return round(float(right.mean()), 6)

    return Remembered(accuracy(before), accuracy(after))
