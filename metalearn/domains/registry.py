"""Methods that adapt features, by name."""

from metalearn.domains.alignment import subspace
from metalearn.domains.centring import none, recentre, z_score
from metalearn.domains.coral import coral
from metalearn.domains.tca import tca
from metalearn.domains.transport import transport
from metalearn.domains.types import Adapted, Domains, Method, checked_domains
from metalearn.domains.weights import discriminator, kliep, kmm
from metalearn.errors import UserError

NONE = "none"  # what others are compared with
METHODS = {
    NONE: Method(none, ""),
    "recentre": Method(recentre, ""),
    "z_score": Method(z_score, "Li et al. 2016"),
    "coral": Method(coral, "Sun et al. 2016"),
    "tca": Method(tca, "Pan et al. 2011"),
    "subspace": Method(subspace, "Fernando et al. 2013"),
    "transport": Method(transport, "Courty et al. 2017"),
    "kmm": Method(kmm, "Huang et al. 2007", weighs=True),
    "kliep": Method(kliep, "Sugiyama et al. 2008", weighs=True),
    "discriminator": Method(discriminator, "Bickel et al. 2009", weighs=True),
}


def adapt(name: str, domains: Domains, **settings: float | str) -> Adapted:
    """What a method makes of two domains, which are checked first.

    Args:
      name: key of `METHODS`.
      domains: both.
      **settings: of the method, see its function.

    Raises:
      UserError: unknown name; what `checked_domains` and the method refuse.

    Example: the target is the source, shifted.

        >>> import numpy as np
        >>> from metalearn.domains.registry import adapt
        >>> from metalearn.domains.types import Domains
        >>> z = np.array([[0.0], [1.0], [4.0], [5.0]])
        >>> found = adapt("recentre", Domains(z, np.array([0, 0, 1, 1]), z + 7, 2))
        >>> found.source.ravel().tolist(), found.transform(z + 7).ravel().tolist()
        ([-2.5, -1.5, 1.5, 2.5], [-2.5, -1.5, 1.5, 2.5])
    """
    if name not in METHODS:
        raise UserError(f"unknown method '{name}': choose one of {', '.join(METHODS)}")
    return METHODS[name].adapt(checked_domains(domains), **settings)
