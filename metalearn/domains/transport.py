"""Optimal transport of the source to the target (Courty, Flamary, Tuia & Rakotomamonjy 2017)."""

import numpy as np

from metalearn.domains.kernels import squared_distances
from metalearn.domains.sinkhorn import Plan, sinkhorn
from metalearn.domains.types import Adapted, Domains, unchanged
from metalearn.errors import UserError

TOLERANCE = 1e-6  # of a plan's rows
ROUNDS = 10  # of the class-regularised plan
SWEEPS = 300  # at most, in a round but the last,
LAST = 2000  # and in that
POWER = 0.5  # of a class's sum in its penalty
TINY = 1e-2  # of what an image receives; keeps the slope of the penalty finite


def transport(domains: Domains, entropy: float = 0.02, by_class: float = 0.0) -> Adapted:
    """Each image of the source goes to the mean of the target's images that it is sent to.

    The plan P has the least <P, cost> - entropy H(P), the cost the squared distances over their
    largest; the source becomes M P z_t, its barycentres. The target stays as it is, new images too.
    In memory: five times [M,N].

    With `by_class` a penalty lets target images receive from one class: by_class times
    `class_penalty` (Courty, Flamary & Tuia 2014). The sum of all is made small by `ROUNDS` plans,
    each with the penalty's slope at the last one added to the cost: where plans converge it never
    grows. Deviations: shares of what an image receives are penalised, not amounts, and 0.01 is
    added to each, so that the slope is finite.

    Args:
      domains: both.
      entropy: in units of the largest squared distance; the less, the closer to one image for
        another, and the longer it takes.
      by_class: strength of the class penalty, in the same unit.

    Raises:
      UserError: settings out of range.
    """
    if not entropy > 0 or by_class < 0:
        raise UserError(f"transport's entropy {entropy}, by_class {by_class}: above 0, 0 or more")
    cost = squared_distances(domains.source_z, domains.target_z)
    largest = cost.max()
    cost /= largest or 1.0
    found = class_plan(cost, domains.source_y, entropy, by_class)
    moved = barycentres(found.plan, domains.target_z)
    note = f"{found.sweeps} sweeps"
    if found.error > TOLERANCE:
        note += f"; not converged: rows miss {found.error:.2g} of 1, give more entropy"
    return Adapted(moved, np.ones(len(moved)), unchanged, note)


def class_plan(cost: np.ndarray, y: np.ndarray, entropy: float, by_class: float) -> Plan:
    """The plan of `transport`.

    Args:
      cost: [M,N].
      y: int [M], the source's labels.
      entropy: in the unit of the cost.
      by_class: 0 for the plan without a penalty.
    """
    found = sinkhorn(cost, entropy, TOLERANCE, LAST)
    if not by_class:
        return found
    (labels, of) = np.unique(y, return_inverse=True)
    member = np.eye(len(labels))[of].T
    for left in reversed(range(ROUNDS)):
        slope = _shares(member @ found.plan) ** (POWER - 1)
        most = SWEEPS if left else LAST
        penalised = cost + by_class * slope[of]
        found = sinkhorn(penalised, entropy, TOLERANCE, most, found.columns)
    return found


def class_penalty(plan: np.ndarray, y: np.ndarray) -> float:
    """Mean over target images of 1 / p sum_c (share of class c in what it receives)^p, p 1/2.

    To each share 0.01 is added. Without that it would be 1 / p for images that receive from one
    class, and C^(1 - p) times that for even shares.
    """
    member = np.eye(y.max() + 1)[y].T
    return float((_shares(member @ plan) ** POWER).sum(0).mean() / POWER)


def _shares(sums: np.ndarray) -> np.ndarray:
    """Shares [C,N] of classes in what each target image receives, and a little each."""
    return sums * sums.shape[1] + TINY


def barycentres(plan: np.ndarray, target_z: np.ndarray) -> np.ndarray:
    """[M,D]: the mean of the target [N,D] by each row of a plan [M,N]."""
    return plan @ target_z / plan.sum(1, keepdims=True)


def out_of_sample(source_z: np.ndarray, moved: np.ndarray, new: np.ndarray) -> np.ndarray:
    """New images [A,D] of the source, moved as the nearest of those that were transported.

    Ferradans, Papadakis, Peyre & Aujol (2014, Regularized discrete optimal transport); an image
    that was transported goes where it went.

    Args:
      source_z: [M,D].
      moved: [M,D], `Adapted.source`.
      new: [A,D].
    """
    nearest = squared_distances(np.asarray(new, np.float64), source_z).argmin(1)
    return new + (moved - source_z)[nearest]
