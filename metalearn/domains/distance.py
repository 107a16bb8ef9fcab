"""How far apart two domains are."""

import numpy as np

from metalearn.domains.discriminator import density_ratio
from metalearn.domains.kernels import Kernel
from metalearn.errors import UserError

LEAST = 4  # images of a domain, half of which are held out


def proxy_a_distance(
    source_z: np.ndarray, target_z: np.ndarray, weights: np.ndarray | None = None, seed: int = 0
) -> float:
    """2 (1 - 2 error) of a linear classifier of domains, 0 to 2 (Ben-David et al. 2007).

    The classifier is a logistic one of half of each domain's images, drawn at random; the error is
    that of the other half, both domains weighing the same. 0 where it is no better than a guess, 2
    where it is always right. It tells nothing of domains that were centred by these very images:
    what one half's mean is above zero the other's is below, so that it is 0 or nearly 2 by the
    halves that are drawn.

    Args:
      source_z: [M,D].
      target_z: [N,D].
      weights: [M], above 0, of the source's images in the fit and in the error; None for equal
        ones.
      seed: of the halves.

    Raises:
      UserError: a domain of fewer than four images.
    """
    check_halves(len(source_z), len(target_z))
    random = np.random.default_rng(seed)
    (fitted, held) = _halves(random, len(source_z))
    (of_target, held_target) = _halves(random, len(target_z))
    known = np.ones(len(source_z)) if weights is None else weights
    given = None if weights is None else weights[fitted]
    ratio = density_ratio(source_z[fitted], target_z[of_target], given)
    of_source = np.average(ratio.at(source_z[held]) > 1, weights=known[held])
    wrong = (of_source, (ratio.at(target_z[held_target]) <= 1).mean())
    return max(0.0, float(2 * (1 - 2 * np.mean(wrong))))


def check_halves(source: int, target: int) -> None:
    """See that domains of so many images have halves.

    Raises:
      UserError: a domain of fewer than four images.
    """
    for name, number in (("source", source), ("target", target)):
        if number < LEAST:
            raise UserError(f"distance of domains: the {name} has {number} images, give {LEAST}")


def _halves(random: np.random.Generator, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of two halves of so many images."""
    order = random.permutation(number)
    return order[: number // 2], order[number // 2 :]


def mean_discrepancy(
    source_z: np.ndarray, target_z: np.ndarray, kernel: str = "rbf", width: float = 1.0
) -> float:
    """Squared maximum mean discrepancy (Gretton et al. 2012, equation 5; the biased estimate).

    The squared distance of the domains' means in the kernel's feature space; not below 0, and 0 for
    equal samples. In memory: [M,M], [N,N] and [M,N].

    Args:
      source_z: [M,D].
      target_z: [N,D].
      kernel: as of `Kernel`, at the scale of both domains' images.
      width: of `rbf`.
    """
    of = Kernel(kernel, np.concatenate([source_z, target_z]), width)
    within = of(source_z, source_z).mean() + of(target_z, target_z).mean()
    return max(0.0, float(within - 2 * of(source_z, target_z).mean()))
