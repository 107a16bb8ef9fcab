"""The source's features among those of the target."""

import numpy as np
import pytest

from metalearn.domains.moved import MOVES, moved
from metalearn.domains.registry import METHODS, adapt
from metalearn.errors import UserError
from tests.domains.made import domains


def test_a_shifted_source_is_shifted_back() -> None:
    both = domains()
    shifted = both._replace(target_z=both.source_z + [3.0, -1.0, 0.5, 7.0])
    np.testing.assert_allclose(moved("recentre", shifted).z, shifted.target_z, atol=1e-12)


@pytest.mark.parametrize("name", MOVES)
def test_what_is_fitted_to_moved_features_needs_no_transform(name: str) -> None:
    """All differences between the source and the target's images are those of the method."""
    both = domains()
    found = adapt(name, both)
    expected = found.source[:, None] - found.transform(both.target_z)[None]
    difference = moved(name, both).z[:, None] - both.target_z[None]
    assert moved(name, both).note == found.note
    np.testing.assert_allclose(difference, expected, atol=1e-12)


@pytest.mark.parametrize("name", sorted(METHODS.keys() - set(MOVES)) + ["magnet"])
def test_other_methods_move_nothing(name: str) -> None:
    with pytest.raises(UserError, match=f"'{name}' moves no photos: choose one of recentre, coral"):
        moved(name, domains())
