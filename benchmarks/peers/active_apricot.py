"""Facility location of apricot-select, given similarities of all pairs."""

from importlib.metadata import version

import numpy as np
from apricot import FacilityLocationSelection

from benchmarks._lib.pool import Drawn
from benchmarks._lib.work import Work
from benchmarks.peers.active_common import Pick, run, similarities


def facility_location(pool: Drawn, k: int, rng: np.random.Generator) -> np.ndarray:
    """Greedily, and lazily (Minoux 1978), beside the labelled images."""
    del rng
    selection = FacilityLocationSelection(
        k, metric="precomputed", optimizer="lazy", initial_subset=pool.labelled
    )
    return np.asarray(selection.fit(similarities(pool.z)).ranking)


def strategy(work: Work) -> Pick:
    """The one that it has."""
    assert work.part == "facility_location"
    return facility_location


if __name__ == "__main__":
    run(strategy, {"apricot-select": version("apricot-select"), "numba": version("numba")})
