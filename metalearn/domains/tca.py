"""Transfer component analysis (Pan, Tsang, Kwok & Yang 2011, IEEE Trans. Neural Networks 22)."""

import numpy as np

from metalearn.domains.kernels import Kernel
from metalearn.domains.types import Adapted, Domains, unchanged
from metalearn.errors import UserError
from metalearn.transfer.centroid import unit
from metalearn.transfer.fitted import blocks

FEATURES = "none"
FULL = 4  # times so many components as there are columns: all eigenvectors are found at once
KEPT = 1e-12  # variance of a component beside that of the first


def tca(
    domains: Domains,
    kernel: str = FEATURES,
    dimensions: int = 100,
    mu: float = 0.01,
    width: float = 1.0,
    whiten: bool = False,
    lengths: bool = False,
) -> Adapted:
    """Components that vary over all images, while the domains' means are alike in them.

    min_W tr(W' X' L X W) + mu tr(W' W) subject to W' X' H X W = I: X [n,P] all n = M + N images, H
    centring, L = l l' with 1/M for the source and -1/N for the target. W are the leading
    eigenvectors of X' H X w = lambda (X' L X + mu I) w. With a kernel X is its matrix K [n,n],
    which is the paper's problem; a new image is then k(z, images) W. Without one X are the
    features themselves, as in Long, Wang, Ding, Sun & Yu (2013, Transfer feature learning with
    joint distribution adaptation), whose numbers for TCA on digits are so found. In
    memory: twice X, and [P,P] where many components are asked for.

    L has rank one, and so X' L X + mu I has a root in closed form, by which the problem becomes an
    ordinary one. Deviations: features are divided by the root of their mean squared length, and a
    kernel has a mean of 1 over each image with itself, so that mu means the same in whatever unit;
    components are less their mean over all images. By default they have the variance lambda and not
    that of the constraint, 1: distances are what they are compared by, and the last of many
    components would count as much as the first.

    Args:
      domains: both.
      kernel: `none`, `linear` or `rbf`.
      dimensions: components, at most; fewer where there are no more.
      mu: what keeps W small; the smaller, the closer the means.
      width: of `rbf`, in median distances.
      whiten: whether components have the variance 1 / n each, which is the constraint.
      lengths: whether images keep their lengths; else they are brought to length one, as in the
        published comparisons by the nearest image.

    Raises:
      UserError: settings out of range.
    """
    if dimensions < 1 or not mu > 0:
        raise UserError(f"tca's dimensions {dimensions}, mu {mu}: give 1 or more, and above 0")
    z = np.concatenate([domains.source_z, domains.target_z])
    number = len(domains.source_z)
    of = Kernel("linear" if kernel == FEATURES else kernel, z, width)

    def columns(new: np.ndarray) -> np.ndarray:
        return new / np.sqrt(of.scale) if kernel == FEATURES else of(new, z)

    x = columns(z)
    middle = x.mean(0)
    apart = x[:number].mean(0) - x[number:].mean(0)
    x -= middle
    w = components(x, apart, dimensions, mu, whiten)
    offset = middle @ w

    def scaled(found: np.ndarray) -> np.ndarray:
        return found if lengths else unit(found)

    def transform(new: np.ndarray) -> np.ndarray:
        found = np.empty((len(new), w.shape[1]))
        for rows in blocks(len(new)):
            found[rows] = columns(unchanged(new[rows])) @ w - offset
        return scaled(found)

    scale = f" of width {of.scale:.3g}" if kernel == "rbf" else ""
    note = f"{w.shape[1]} components, kernel {kernel}{scale}, mu {mu:g}"
    return Adapted(scaled(x[:number] @ w), np.ones(number), transform, note)


def components(
    centred: np.ndarray, apart: np.ndarray, dimensions: int, mu: float, whiten: bool
) -> np.ndarray:
    """W [P,E], the most valuable component first.

    Args:
      centred: H X [n,P].
      apart: X' l [P], the difference of the domains' means.
      dimensions: E at most; components without variance are left out.
      mu: as of `tca`.
      whiten: whether W' X' H X W = I; else W' (X' L X + mu I) W = I.
    """
    from scipy.linalg import eigh  # they take long to import
    from scipy.sparse.linalg import LinearOperator, eigsh

    size = centred.shape[1]
    wanted = min(dimensions, size)
    half = _times_inverse_root(centred, apart, mu)
    if FULL * wanted >= size:
        found = eigh(half.T @ half, subset_by_index=(size - wanted, size - 1))
    else:

        def product(v: np.ndarray) -> np.ndarray:
            return half.T @ (half @ v)

        operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
        # A start of its own makes it the same every time
        found = eigsh(operator, wanted, v0=np.cos(np.arange(size)))
    order = np.argsort(found[0])[::-1]
    (values, vectors) = (found[0][order], found[1][:, order])
    keep = values > KEPT * values[0]
    w = _times_inverse_root(vectors[:, keep].T, apart, mu).T
    return w / np.sqrt(values[keep]) if whiten else w


def _times_inverse_root(x: np.ndarray, v: np.ndarray, mu: float) -> np.ndarray:
    """X (v v' + mu I)^-1/2, of X [A,P] and v [P]."""
    square = v @ v
    if square == 0:
        return x / np.sqrt(mu)
    less = (1 - np.sqrt(mu / (mu + square))) / square
    return (x - less * np.outer(x @ v, v)) / np.sqrt(mu)
