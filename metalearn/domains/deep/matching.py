"""Features with the same moments in both domains: DAN (in a kernel's space), Deep CORAL."""

import jax
import jax.numpy as jnp

from metalearn.domains.deep.types import Penalty, Seen
from metalearn.ops.losses import squared_euclidean
from metalearn.types import Array, Key, PyTree

SCALES = (-3, -2, -1, 0, 1)  # of the kernels' variances, powers of 2 times the mean distance


def no_parameters(key: Key, features: int, classes: int) -> PyTree:
    """`Penalty.init` of methods without networks of their own."""
    return {}


def dan() -> Penalty:
    """Long et al. 2015, "Learning transferable features with deep adaptation networks".

    Squared maximum mean discrepancy of the features. Deviations: kernels of several widths are
    added, not weighted by a program of their own; one layer; the unbiased estimate of all pairs.
    """

    def loss(params: PyTree, seen: Seen) -> Array:
        return mean_discrepancy(seen.source_z, seen.target_z)

    return Penalty(no_parameters, loss)


def mean_discrepancy(source: Array, target: Array) -> Array:
    """Unbiased estimate of the squared MMD (Gretton et al. 2012, equation 3), Gaussian kernels.

    It may be below 0. The kernels' variances are 1/8 to 2 times the mean squared distance of two
    images, through which no gradient flows.

    Args:
      source: [B,D], two images or more.
      target: [A,D], the same.
    """
    both = jnp.concatenate([source, target])
    distances = jnp.maximum(squared_euclidean(both, both), 0)
    pairs = len(both) * (len(both) - 1)
    scale = jax.lax.stop_gradient(distances.sum() / pairs) + 1e-12
    kernel = sum(jnp.exp(-distances / (2 * 2.0**power * scale)) for power in SCALES)
    kernel = jnp.asarray(kernel) * (1 - jnp.eye(len(both)))
    (m, n) = (len(source), len(target))
    within = kernel[:m, :m].sum() / (m * (m - 1)) + kernel[m:, m:].sum() / (n * (n - 1))
    return within - 2 * kernel[:m, m:].mean()


def deep_coral() -> Penalty:
    """Sun & Saenko 2016, "Deep CORAL: correlation alignment for deep domain adaptation".

    The covariances of the classifier's outputs, as there.
    """

    def loss(params: PyTree, seen: Seen) -> Array:
        return covariance_distance(seen.source_logits, seen.target_logits)

    return Penalty(no_parameters, loss)


def covariance_distance(source: Array, target: Array) -> Array:
    """|C_S - C_T|^2 / (4 D^2) of the covariances of rows [.,D] (equation 1)."""
    features = source.shape[-1]
    difference = covariance(source) - covariance(target)
    return jnp.square(difference).sum() / (4 * features**2)


def covariance(z: Array) -> Array:
    """[D,D] of rows z [B,D], over B - 1."""
    centred = z - z.mean(0)
    return centred.T @ centred / (len(z) - 1)
