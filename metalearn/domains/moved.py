"""Features of labelled images as another domain would show them."""

import numpy as np

from metalearn.domains.registry import adapt
from metalearn.domains.types import Domains
from metalearn.errors import UserError

RECENTRE = "recentre"
TRANSPORT = "transport"
# Methods that move the source and leave the target where it is, or shift all of it by one vector
MOVES = (RECENTRE, "coral", TRANSPORT)


def moved(name: str, domains: Domains) -> np.ndarray:
    """The source's features float64 [M,D] among those of the target, which stay as they come.

    What is fitted to them is asked about images of the target without any transform. `recentre`
    shifts both domains, to means of zero: taken back for both, its source lies about the target's
    mean.

    Args:
      name: one of `MOVES`; of other methods the target's features change, or only weights do.
      domains: both; the target without labels.

    Raises:
      UserError: another name; as `adapt`.
    """
    if name not in MOVES:
        raise UserError(f"'{name}' moves no photos: choose one of {', '.join(MOVES)}")
    found = adapt(name, domains)
    origin = np.zeros((1, domains.target_z.shape[1]))
    return found.source - found.transform(origin)
