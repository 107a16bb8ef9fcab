"""Transfer component analysis (Pan, Tsang, Kwok & Yang 2011, IEEE Trans. Neural Networks 22)."""

import numpy as np

from metalearn.domains.kernels import Kernel
from metalearn.domains.types import Adapted, Domains, unchanged
from metalearn.errors import UserError
from metalearn.transfer.fitted import ROWS

FULL = 4  # times so many components as there are images: all eigenvectors are found at once
KEPT = 1e-12  # variance of a component beside that of the first


def tca(
    domains: Domains,
    kernel: str = "linear",
    dimensions: int = 100,
    mu: float = 0.1,
    width: float = 1.0,
) -> Adapted:
    """Components that vary over all images, while the domains' means are alike in them.

    min_W tr(W' K L K W) + mu tr(W' W) subject to W' K H K W = I (equation 8): K the kernel of all
    n = M + N images, H centring, L = l l' with 1/M for the source and -1/N for the target. W are
    the leading eigenvectors of K H K w = lambda (K L K + mu I) w. A new image is k(z, images) W, as
    the images themselves are. In memory: twice [n,n].

    L has rank one, and so K L K + mu I has a root in closed form, by which the problem becomes an
    ordinary one. Deviation: the kernel is scaled to a mean of 1 over each image with itself, so
    that mu means the same whatever the features' unit.

    Args:
      domains: both.
      kernel: `linear` or `rbf`.
      dimensions: components, at most; fewer where the kernel has no more.
      mu: what keeps W small; the smaller, the closer the means.
      width: of `rbf`, in median distances.

    Raises:
      UserError: settings out of range.
    """
    if dimensions < 1 or not mu > 0:
        raise UserError(f"tca's dimensions {dimensions}, mu {mu}: give 1 or more, and above 0")
    z = np.concatenate([domains.source_z, domains.target_z])
    number = len(domains.source_z)
    of = Kernel(kernel, z, width)
    gram = of(z, z)
    w = components(gram, number, min(dimensions, len(z) - 1), mu)

    def transform(new: np.ndarray) -> np.ndarray:
        wide = unchanged(new)
        blocks = [of(wide[i : i + ROWS], z) @ w for i in range(0, len(wide), ROWS)]
        return np.concatenate(blocks) if blocks else np.zeros((0, w.shape[1]))

    scale = f" of width {of.scale:.3g}" if kernel == "rbf" else ""
    note = f"{w.shape[1]} components, {kernel} kernel{scale}, mu {mu:g}"
    return Adapted(gram[:number] @ w, np.ones(number), transform, note)


def components(gram: np.ndarray, number: int, dimensions: int, mu: float) -> np.ndarray:
    """W [n,E], the most valuable component first.

    Args:
      gram: K [n,n].
      number: M, images of the source; they come first.
      dimensions: E at most; components without variance are left out.
      mu: as of `tca`.
    """
    from scipy.linalg import eigh  # they take long to import
    from scipy.sparse.linalg import LinearOperator, eigsh

    others = len(gram) - number
    apart = gram[:, :number].sum(1) / number - gram[:, number:].sum(1) / others  # K l
    centred = gram - gram.mean(0)  # H K
    half = _times_inverse_root(centred, apart, mu)
    wanted = min(dimensions, len(gram))
    if FULL * wanted >= len(gram):
        found = eigh(half.T @ half, subset_by_index=(len(gram) - wanted, len(gram) - 1))
    else:

        def product(v: np.ndarray) -> np.ndarray:
            return half.T @ (half @ v)

        operator = LinearOperator(gram.shape, matvec=product, dtype=np.float64)
        # A start of its own makes it the same every time
        found = eigsh(operator, wanted, v0=half.T @ np.arange(1.0, len(gram) + 1))
    order = np.argsort(found[0])[::-1]
    (values, vectors) = (found[0][order], found[1][:, order])
    keep = values > KEPT * values[0]
    w = _times_inverse_root(vectors[:, keep].T, apart, mu).T
    return w / np.sqrt(values[keep])


def _times_inverse_root(x: np.ndarray, v: np.ndarray, mu: float) -> np.ndarray:
    """X (v v' + mu I)^-1/2, of X [A,n] and v [n]."""
    square = v @ v
    if square == 0:
        return x / np.sqrt(mu)
    less = (1 - np.sqrt(mu / (mu + square))) / square
    return (x - less * np.outer(x @ v, v)) / np.sqrt(mu)
