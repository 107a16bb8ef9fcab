"""What is kept of photographs, and nested weights by path."""

import numpy as np
import pytest

from metalearn.personal.model import Kept, flat, nested, rounded


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_rounding_is_off_by_half_a_step_at_most(scale: float) -> None:
    """And not at all for the least and the largest."""
    z = (scale * np.random.default_rng(0).normal(size=(5, 300)) + 3).astype(np.float32)
    kept = rounded(z)
    step = (z.max(1) - z.min(1)) / 255
    errors = np.abs(kept.values - z).max(1)
    assert (errors <= 0.5 * step + 4e-7 * np.abs(z).max()).all()
    assert errors.max() > 0.4 * step.max(), "it does round"
    np.testing.assert_allclose(kept.values.min(1), z.min(1), rtol=1e-6)
    np.testing.assert_allclose(kept.values.max(1), z.max(1), rtol=1e-5)
    assert kept.codes.dtype == np.uint8 and kept.values.dtype == np.float32


def test_equal_features_stay_as_they_are() -> None:
    z = np.full((2, 4), 0.3, np.float32)
    np.testing.assert_array_equal(rounded(z).values, z)


def test_some_of_what_is_kept_and_others_after_it() -> None:
    z = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    kept = rounded(z)
    rows = np.array([4, 0, 0])
    np.testing.assert_array_equal(kept.at(rows).values, kept.values[rows])
    both = kept.at(rows).with_others(kept.at(np.array([5])))
    np.testing.assert_array_equal(both.values, kept.values[[4, 0, 0, 5]])


def test_images_are_kept_as_they_are() -> None:
    images = np.random.default_rng(2).integers(0, 256, (3, 2, 2, 3), np.uint8)
    kept = Kept(images)
    assert kept.values is images
    both = kept.at(np.array([2])).with_others(kept)
    np.testing.assert_array_equal(both.values, images[[2, 0, 1, 2]])
    assert both.low is None and both.step is None


def test_nested_weights_are_flattened_and_nested_again() -> None:
    tree = {"a": {"b": np.arange(3), "c": {"d": np.ones(2)}}, "e": np.zeros(())}
    paths = flat(tree)
    assert sorted(paths) == ["a/b", "a/c/d", "e"]
    again = nested(paths)
    assert again.keys() == tree.keys() and again["a"].keys() == tree["a"].keys()
    np.testing.assert_array_equal(again["a"]["c"]["d"], tree["a"]["c"]["d"])


@pytest.mark.parametrize("paths", [("a", "a/b"), ("a/b", "a"), ("a/b/c", "a/b"), ("a/b", "a/b/c")])
def test_an_array_with_others_below_it_is_refused(paths: tuple[str, str]) -> None:
    """Whichever comes first."""
    with pytest.raises(ValueError, match="below"):
        nested({path: np.zeros(1) for path in paths})
