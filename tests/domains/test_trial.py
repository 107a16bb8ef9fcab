"""One draw of a comparison, what is drawn for it, and pixels as features."""

import numpy as np
import pytest

from metalearn.domains.grids import GRIDS, said, settings_of
from metalearn.domains.pixels import pixel_rows
from metalearn.domains.registry import METHODS, adapt
from metalearn.domains.trial import (
    OF_TARGET,
    Recipe,
    Side,
    attempt,
    check_sides,
    draw,
    validators_of,
)
from metalearn.errors import UserError
from tests.domains.made import CLASSES, blobs, domains

NAMES = [f"class{i}" for i in range(CLASSES)]


def sides() -> tuple[Side, Side]:
    """Blobs, and blobs that are moved."""
    (train, test) = (blobs(60, 0), blobs(30, 1))
    (other, other_test) = (blobs(48, 2), blobs(33, 3))
    moved = np.array([8.0, 0, 0, 0])  # to where the first class is, and beyond
    target = Side(other[0] + moved, other[1], other_test[0] + moved, other_test[1])
    return Side(*train, *test), target


def test_a_draw_takes_no_notice_of_labels_of_the_target() -> None:
    (source, target) = sides()
    recipe = Recipe("nearest", 20, 0, NAMES)
    found = draw(source, target, recipe, 4)
    swapped = draw(source, target._replace(y=target.y[::-1]), recipe, 4)
    assert found.few is None and len(found.domains.target_z) == 20
    np.testing.assert_array_equal(found.domains.target_z, swapped.domains.target_z)
    assert np.bincount(found.domains.source_y).min() >= 6
    other = draw(source, target, recipe, 5)
    assert not np.array_equal(found.domains.target_z, other.domains.target_z)


def test_a_shift_is_repaired_by_means_and_not_without() -> None:
    both = sides()
    recipe = Recipe("nearest", 0, 0, NAMES)
    drawn = draw(*both, recipe, 0)
    (plain, centred) = (attempt(name, {}, drawn, both, recipe) for name in ("none", "recentre"))
    assert plain.target[0] < 0.8 < centred.target[0] and plain.source[0] > 0.9
    assert centred.distance < plain.distance and len(plain.validators) == 5


def test_labelled_images_of_the_target_help() -> None:
    both = sides()
    recipe = Recipe("nearest", 0, 4, NAMES)
    found = attempt("none", {}, draw(*both, recipe, 0), both, recipe)
    assert found.target[0] > 0.9
    with pytest.raises(UserError, match="give 16 or fewer"):
        draw(*both, Recipe("nearest", 0, 17, NAMES), 0)


def test_single_images_a_class_leave_validators_of_the_target() -> None:
    names = [f"class{i}" for i in range(6)]
    random = np.random.default_rng(0)
    every = np.repeat(np.arange(6), 4)
    z = 5 * np.eye(6)[every] + random.normal(size=(24, 6))
    alone = Side(5 * np.eye(6), np.arange(6), z, every)
    recipe = Recipe("nearest", 0, 0, names)
    both = (alone, Side(z + 1, every, z + 1, every))
    found = attempt("recentre", {}, draw(*both, recipe, 0), both, recipe)
    assert validators_of(alone.y) == list(OF_TARGET) and len(found.validators) == 3
    assert np.isfinite(found.validators).all() and found.target[0] > 0.9
    few = alone._replace(z=alone.z[:3], y=alone.y[:3])
    with pytest.raises(UserError, match="the source has 3 images"):
        attempt("none", {}, draw(few, both[1], recipe, 0), both, recipe)


def test_a_domain_without_test_images_is_refused() -> None:
    (source, target) = sides()
    empty = target._replace(test_z=target.test_z[:0], test_y=target.test_y[:0])
    with pytest.raises(UserError, match="the target has no test images"):
        check_sides(source, empty)


@pytest.mark.parametrize("method", METHODS)
def test_all_settings_of_a_grid_are_the_method_s(method: str) -> None:
    tried = settings_of(method, grid=True)
    assert tried[0] == {} and len({said(each) for each in tried}) == len(tried)
    for settings in tried if method in GRIDS else ():
        assert len(adapt(method, domains(24, 20), **settings).source) == 24


def test_pixels_are_grey_rows_of_length_one() -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    images[3] = 0
    found = pixel_rows(images, 4)
    assert found.shape == (5, 16)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 1, 1, 0, 1], rtol=1e-5)
    grey = np.repeat(images[..., :1], 3, axis=-1)
    np.testing.assert_allclose(pixel_rows(grey, 8), pixel_rows(grey[..., :1], 8), atol=1e-5)
    with pytest.raises(UserError, match="images of 4 channels"):
        pixel_rows(np.zeros((1, 4, 4, 4), np.uint8), 2)
