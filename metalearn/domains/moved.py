"""Features of labelled images as another domain would show them."""

from typing import NamedTuple

import numpy as np

from metalearn.domains.registry import adapt
from metalearn.domains.types import Domains
from metalearn.errors import UserError

RECENTRE = "recentre"
TRANSPORT = "transport"
# Methods that move the source and leave the target where it is, or shift all of it by one vector
MOVES = (RECENTRE, "coral", TRANSPORT)


class Moved(NamedTuple):
    """Features float64 [M,D] of the source among those of the target, and `Adapted.note`."""

    z: np.ndarray
    note: str


def check_move(name: str) -> None:
    """See that a method moves the source alone.

    Raises:
      UserError: of others the target's features change too, or weights alone.
    """
    if name not in MOVES:
        raise UserError(f"'{name}' moves no photos: choose one of {', '.join(MOVES)}")


def moved(name: str, domains: Domains) -> Moved:
    """The source's features among those of the target, which stay as they come.

    What is fitted to them is asked about images of the target without any transform. `recentre`
    shifts both domains, to means of zero: taken back for both, its source lies about the target's
    mean.

    Args:
      name: one of `MOVES`.
      domains: both; the target without labels.

    Raises:
      UserError: another name; as `adapt`.
    """
    check_move(name)
    found = adapt(name, domains)
    origin = np.zeros((1, domains.target_z.shape[1]))
    return Moved(found.source - found.transform(origin), found.note)
