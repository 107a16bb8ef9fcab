"""SimpleShot: the nearest centroid of centred and normalised features of a pre-trained body.

Wang, Chao, Weinberger, van der Maaten. SimpleShot: Revisiting Nearest-Neighbor Classification for
Few-Shot Learning. 2019, arXiv:1911.04623.
"""

from dataclasses import dataclass

from metalearn.errors import UserError
from metalearn.learners import pretrained
from metalearn.learners.heads import nearest_centroid
from metalearn.settings import setting
from metalearn.types import Learner, Network

TRANSFORMS = ("none", "l2", "cl2n")


@dataclass(frozen=True)
class Settings(pretrained.Settings):
    """What SimpleShot reads."""

    transform: str = setting(
        "cl2n",
        "of simpleshot's features: none, l2 (length one) or cl2n (centred before)",
        test=True,
        head=True,
    )


def build(settings: Settings, network: Network, classes: int, norm: str) -> Learner:
    """The learner of these settings (section 3).

    Args:
      settings: those of the method.
      network, classes, norm: see `pretrained`.

    Raises:
      UserError: an unknown transform.
    """
    transform = settings.transform
    if transform not in TRANSFORMS:
        raise UserError(
            f"simpleshot's transform must be one of {', '.join(TRANSFORMS)}, not '{transform}'"
        )
    head = nearest_centroid(normalise=transform != "none")
    return pretrained.build(settings, network, classes, norm, head, centre=transform == "cl2n")
