"""How far apart two domains are."""

import numpy as np

from metalearn.domains.discriminator import density_ratio
from metalearn.domains.kernels import Kernel
from metalearn.errors import UserError

LEAST = 4  # images of a domain, half of which are held out


def proxy_a_distance(source_z: np.ndarray, target_z: np.ndarray, seed: int = 0) -> float:
    """2 (1 - 2 error) of a linear classifier of domains, 0 to 2 (Ben-David et al. 2007).

    The classifier is a logistic one of half of each domain's images, drawn at random; the error is
    that of the other half, both domains weighing the same. 0 where it is no better than a guess, 2
    where it is always right.

    Raises:
      UserError: a domain of fewer than four images.
    """
    random = np.random.default_rng(seed)
    halves = []
    for name, z in (("source", source_z), ("target", target_z)):
        if len(z) < LEAST:
            raise UserError(f"distance of domains: the {name} has {len(z)} images, give {LEAST}")
        order = random.permutation(len(z))
        halves.append((z[order[: len(z) // 2]], z[order[len(z) // 2 :]]))
    ((source, held_source), (target, held_target)) = halves
    ratio = density_ratio(source, target)
    wrong = ((ratio.at(held_source) > 1).mean(), (ratio.at(held_target) <= 1).mean())
    return max(0.0, float(2 * (1 - 2 * np.mean(wrong))))


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
