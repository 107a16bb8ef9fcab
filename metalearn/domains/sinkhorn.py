"""Entropic optimal transport (Cuturi 2013, Sinkhorn distances), stable for little entropy."""

from typing import NamedTuple

import numpy as np

SWEEPS = 10  # of plain scaling between two in logarithms
TINY = 1e-300


class Plan(NamedTuple):
    """How much of each image goes where.

    Attributes:
      plan: [M,N]; sums of columns are exactly 1/N, those of rows 1/M but for `error`.
      error: the sum of what rows miss, of 1.
      sweeps: that it took.
      columns: [N], potentials of the columns, to begin with for a cost that is much the same.
    """

    plan: np.ndarray
    error: float
    sweeps: int
    columns: np.ndarray


def sinkhorn(
    cost: np.ndarray,
    entropy: float,
    tolerance: float = 1e-9,
    most: int = 2000,
    columns: np.ndarray | None = None,
) -> Plan:
    """The plan P of least <P, cost> - entropy H(P) between M and N images of equal weights.

    Potentials f and g with P = exp(f_i + g_j - cost_ij / entropy) are made to fit the rows' and
    the columns' sums in turn. That is done in logarithms, where nothing overflows, once in
    `SWEEPS`; in between the rows and columns of that P are scaled, which costs a twentieth
    (Schmitzer 2019, Stabilized sparse scaling algorithms). In memory: four
    times [M,N].

    Args:
      cost: [M,N].
      entropy: above 0, in the unit of the cost.
      tolerance: `Plan.error` at which it stops.
      most: sweeps; fewer than `SWEEPS` more may be made.
      columns: as of a `Plan`, to begin with; zeros by default.
    """
    (number, others) = cost.shape
    g = np.zeros(others) if columns is None else columns
    scaled = cost / entropy
    sweeps = 0
    while True:
        f = -np.log(number) - _log_sums(g - scaled, 1)
        g = -np.log(others) - _log_sums(f[:, None] - scaled, 0)
        plan = np.exp(f[:, None] + g - scaled)
        error = float(np.abs(plan.sum(1) - 1 / number).sum())
        sweeps += 1
        if error <= tolerance or sweeps >= most:
            return Plan(plan, error, sweeps, g)
        g = g + np.log(_scaled_columns(plan))
        sweeps += SWEEPS


def _scaled_columns(plan: np.ndarray) -> np.ndarray:
    """What columns are to be multiplied by after some sweeps."""
    (number, others) = plan.shape
    v = np.ones(others)
    for _ in range(SWEEPS):
        u = 1 / (number * np.maximum(plan @ v, TINY))
        v = 1 / (others * np.maximum(u @ plan, TINY))
    return v


def _log_sums(x: np.ndarray, axis: int) -> np.ndarray:
    """Logarithms of the sums of exp(x) [M,N] along an axis; overwrites x."""
    highest = x.max(axis, keepdims=True)
    x -= highest
    return np.log(np.exp(x, out=x).sum(axis)) + highest.squeeze(axis)
