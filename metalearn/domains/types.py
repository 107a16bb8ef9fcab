"""What methods of domain adaptation on features take and give, and what is refused.

M labelled images of the source, N unlabelled ones of the target, D features, E adapted ones.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from metalearn.errors import UserError
from metalearn.transfer.probes import checked

LEAST = 2  # images of a domain: of fewer there is no covariance
SHOWN = 5  # names in a message
Transform = Callable[[np.ndarray], np.ndarray]


class Domains(NamedTuple):
    """Two domains with the same classes; of the target no label is known.

    Attributes:
      source_z: [M,D].
      source_y: int [M] in [0, C).
      target_z: [N,D], features of the same body.
      classes: C.
    """

    source_z: np.ndarray
    source_y: np.ndarray
    target_z: np.ndarray
    classes: int


class Adapted(NamedTuple):
    """What a classifier is fitted to, and what its images go through.

    Attributes:
      source: float64 [M,E], the source's images in their order.
      weights: float64 [M], of the images in the classifier's loss; mean 1, ones where it is the
        features that are adapted.
      transform: [.,D] -> float64 [.,E], for images of the target, those seen and new ones.
      note: what was chosen, in one line; '' where there was nothing to choose.
    """

    source: np.ndarray
    weights: np.ndarray
    transform: Transform
    note: str


class Method(NamedTuple):
    """A way to adapt.

    Attributes:
      adapt: `(domains, **settings) -> Adapted`, a pure function; settings have defaults. It takes
        what `checked_domains` gives.
      source: paper; '' where there is none.
      weighs: whether it gives weights to the source's images, and leaves features as they are.
    """

    adapt: Callable[..., Adapted]
    source: str
    weighs: bool = False


def checked_domains(domains: Domains) -> Domains:
    """The domains with features in float64 and labels in int64.

    Raises:
      UserError: a domain of fewer than two images; a source with images of one class; features
        that are no numbers, differ in their number between the domains, or are all the same;
        labels that do not fit.
    """
    for name, z in (("source", domains.source_z), ("target", domains.target_z)):
        if np.ndim(z) != 2:
            raise UserError(f"{name} features have the shape {np.shape(z)}: give images x features")
        if len(z) < LEAST:
            raise UserError(f"the {name} has {len(z)} images: adaptation needs {LEAST} or more")
    (source, y) = checked(domains.source_z, domains.source_y, domains.classes, "source")
    nothing = np.zeros(len(domains.target_z), np.int64)
    (target, _) = checked(domains.target_z, nothing, 1, "target")
    if source.shape[1] != target.shape[1]:
        raise UserError(
            f"{source.shape[1]} features an image of the source, {target.shape[1]} of the target: "
            "embed both by the same body"
        )
    if len(np.unique(y)) < 2:
        raise UserError(f"the source has images of class {y[0]} alone: a classifier needs two")
    for name, z in (("source", source), ("target", target)):
        if (z == z[0]).all():
            raise UserError(f"all images of the {name} have the same features: check the images")
    return Domains(_wide(domains.source_z), y, _wide(domains.target_z), domains.classes)


def _wide(z: np.ndarray) -> np.ndarray:
    return np.asarray(z, np.float64)


def check_same_classes(source: Sequence[str], target: Sequence[str]) -> None:
    """See that both domains have the same classes, in the same order.

    Args:
      source: class names.
      target: class names.

    Raises:
      UserError: fewer than two classes; names that one domain alone has; another order.
    """
    for name, found in (("source", source), ("target", target)):
        if len(found) < 2:
            named = f" ({found[0]})" if found else ""
            raise UserError(f"the {name} has {len(found)} classes{named}: it takes 2 or more")
    problems = [
        f"{_listed(more)} in the {name} alone"
        for name, more in (
            ("source", sorted(set(source) - set(target))),
            ("target", sorted(set(target) - set(source))),
        )
        if more
    ]
    if problems:
        raise UserError(
            f"the domains' classes differ: {'; '.join(problems)}; have the same in both"
        )
    if list(source) != list(target):
        raise UserError("the domains' classes are in different orders: sort both by name")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(repr, names[:SHOWN])) + more


def unchanged(z: np.ndarray) -> np.ndarray:
    """`Adapted.transform` of methods that leave the target as it is."""
    return _wide(z)
