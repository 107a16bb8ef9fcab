"""Image transforms: what they may do, and that every image meets its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from metalearn.data.augment import TRANSFORMS, augmentation, crop, flip, jitter
from metalearn.data.distort import affine, cutout, noise, rotate, rotated, salt, window, zoom
from metalearn.errors import UserError
from tests.small import noise_source, quick_jit

KEY = jax.random.key(0)
NAMES = [*TRANSFORMS, ",".join(TRANSFORMS)]


@pytest.fixture(scope="module")
def x() -> jax.Array:
    """One image, 64 times."""
    return jnp.tile(noise_source((1,), side=16, channels=3).images, (64, 1, 1, 1))


@pytest.mark.parametrize("names", [*NAMES, "flip,crop,jitter"])
def test_augmentation_keeps_shape_and_type_and_differs_by_image(names: str, x: jax.Array) -> None:
    augment = quick_jit(augmentation(names))
    found = augment(KEY, x)
    assert found.shape == x.shape and found.dtype == jnp.uint8
    kinds = {image.tobytes() for image in np.asarray(found)}
    assert len(kinds) == 2 if names == "flip" else len(kinds) > 15
    np.testing.assert_array_equal(found, augment(KEY, x))
    assert (found != augment(jax.random.key(1), x)).any()


def test_flip_mirrors_half_of_the_images(x: jax.Array) -> None:
    found = np.asarray(flip(KEY, x))
    mirrored = (found == np.asarray(x)[:, :, ::-1]).all((1, 2, 3))
    kept = (found == np.asarray(x)).all((1, 2, 3))
    assert (mirrored ^ kept).all()
    assert 16 < mirrored.sum() < 48


def test_crop_shifts_by_up_to_an_eighth_onto_black() -> None:
    x = jnp.zeros((200, 16, 16, 1), jnp.uint8).at[:, 5, 9].set(200)
    image, row, column, _ = np.nonzero(np.asarray(crop(KEY, x)))
    np.testing.assert_array_equal(image, np.arange(200))
    shifts = {(r - 5, c - 9) for r, c in zip(row.tolist(), column.tolist(), strict=True)}
    assert shifts == {(r, c) for r in range(-2, 3) for c in range(-2, 3)}
    white = np.asarray(crop(KEY, jnp.full((200, 16, 16, 1), 255, jnp.uint8)))
    assert set(np.unique(white)) == {0, 255}


def test_jitter_of_grey_changes_brightness_within_its_bounds() -> None:
    """An even grey has no contrast and no saturation: only brightness is seen."""
    found = (
        np.asarray(jitter(KEY, jnp.full((500, 4, 4, 3), 100, jnp.uint8)))
        .reshape(500, -1)
        .astype(int)
    )
    assert (found == found[:, :1]).all()
    assert 60 <= found.min() < 65 and 135 < found.max() <= 140
    assert abs(found.mean() - 100) < 3


def test_jitter_clips_instead_of_wrapping() -> None:
    x = jnp.tile(jnp.array([0, 255], jnp.uint8).reshape(1, 1, 2, 1), (100, 2, 1, 3))
    found = np.asarray(jitter(KEY, x)).astype(int)
    assert (found[:, :, 1] > found[:, :, 0]).all()  # dark stays darker than bright


def test_jitter_of_one_channel_images() -> None:
    x = noise_source((8,), side=4).images
    assert jitter(KEY, x).shape == x.shape


def test_rotation_is_that_of_other_libraries() -> None:
    """Quarter turns exactly; other angles as SciPy's spline of degree one, to half a grey level."""
    x = noise_source((1,), side=15, channels=3).images[0]
    np.testing.assert_array_equal(rotated(x, 90.0), np.rot90(x))
    wide = np.asarray(x[:12])
    found = quick_jit(rotated)(wide, 10.0)
    options = dict(reshape=False, order=1, mode="grid-constant", cval=0)
    expected = ndimage.rotate(wide.astype(float), 10.0, **options)
    np.testing.assert_allclose(found, expected, atol=0.51)


def test_rotation_is_by_up_to_fifteen_degrees_either_way() -> None:
    """A grey disc about the centre stays; where a dot beside it goes tells the angles."""
    rows, cols = np.mgrid[-16:17, -16:17]
    disc = (np.hypot(rows, cols) < 10) * 100
    x = np.tile(disc.astype(np.uint8)[None, :, :, None], (300, 1, 1, 1))
    x[:, 16, 30] = 255
    found = np.asarray(quick_jit(rotate)(KEY, x))[..., 0]
    inside = np.hypot(rows, cols) < 8
    assert (found[:, inside] == 100).all()
    beside = np.where(np.hypot(rows, cols) > 12, found, 0).astype(float)
    up = (beside * -rows).sum((1, 2)) / beside.sum((1, 2))
    right = (beside * cols).sum((1, 2)) / beside.sum((1, 2))
    angles = np.rad2deg(np.arctan2(up, right))
    assert 13 < angles.max() < 15.3 and -15.3 < angles.min() < -13
    assert abs(angles.mean()) < 2 and abs(angles.std() - 30 / 12**0.5) < 1


def test_zoom_of_a_constant_image_is_that_image() -> None:
    x = jnp.full((50, 12, 20, 3), jnp.array([3, 120, 255], jnp.uint8))
    np.testing.assert_array_equal(quick_jit(zoom)(KEY, x), x)


def test_zoom_shows_windows_of_the_area_and_aspect_it_says() -> None:
    """A slope of grey along either side: its ends tell the window's place and sides."""
    height, width = 24, 48
    down = np.broadcast_to(np.linspace(0, 240, height)[:, None], (height, width))
    along = np.broadcast_to(np.linspace(0, 240, width), (height, width))
    x = np.stack([down, along], -1).round().astype(np.uint8)
    y = np.asarray(quick_jit(zoom)(KEY, np.tile(x, (1000, 1, 1, 1)))).astype(float)
    # Away from the border, where bilinear sampling repeats the last pixel
    tall = (y[:, 18, 24, 0] - y[:, 6, 24, 0]) / 240 * (height - 1) / 12
    wide = (y[:, 12, 36, 1] - y[:, 12, 12, 1]) / 240 * (width - 1) / 24
    area, aspect = tall * wide, tall / wide
    assert 0.33 < area.min() < 0.38 and 0.96 < area.max() < 1.03
    assert 0.72 < aspect.min() < 0.78 and 1.29 < aspect.max() < 1.38
    top, left = y[:, 0, 24, 0], y[:, 12, 0, 1]
    assert top.min() <= 1 and left.min() <= 1 and 60 < top.max() < 120 and 60 < left.max() < 120


def test_window_of_whole_pixels_is_resized_bilinearly() -> None:
    x = noise_source((1,), side=8, channels=3).images[0]
    found = window(x, jnp.array([0.25, 0.5]), jnp.array([0.5, 0.5]))
    # Within the window, where no pixel beside it is looked at
    expected = jax.image.resize(x[2:6, 4:8].astype(jnp.float32), (8, 8, 3), "bilinear")
    np.testing.assert_allclose(found[1:-1, 1:-1], expected[1:-1, 1:-1], atol=0.51)
    np.testing.assert_array_equal(window(x, jnp.zeros(2), jnp.ones(2)), x)


def test_salt_and_pepper_is_two_percent_of_the_pixels_in_all_channels() -> None:
    x = np.full((50, 40, 30, 3), 100, np.uint8)
    found = np.asarray(quick_jit(salt)(KEY, x))
    assert set(np.unique(found)) == {0, 100, 255}
    assert (found == found[..., :1]).all()
    for level in (0, 255):  # 600 of 60,000 pixels, with a standard deviation of 24
        assert abs((found[..., 0] == level).mean() - 0.01) < 0.002


def test_noise_has_its_standard_deviation_and_no_mean() -> None:
    x = np.full((20, 30, 40, 3), 128, np.uint8)
    difference = np.asarray(quick_jit(noise)(KEY, x)).astype(float) - 128
    assert abs(difference.std() - 0.04 * 255) < 0.2 and abs(difference.mean()) < 0.2
    assert abs(np.corrcoef(difference[..., 0].ravel(), difference[..., 1].ravel())[0, 1]) < 0.02
    white = np.asarray(noise(KEY, jnp.full((2, 9, 9, 1), 255, jnp.uint8)))
    assert 200 < white.min() and white.max() == 255  # clipped, not wrapped


@pytest.mark.parametrize(("height", "width", "side"), [(32, 32, 16), (20, 12, 6), (7, 7, 3)])
def test_cutout_is_half_the_shorter_side_and_clipped_at_borders(
    height: int, width: int, side: int
) -> None:
    x = np.full((2000, height, width, 3), 9, np.uint8)
    gone = np.asarray(quick_jit(cutout)(KEY, x)) == 0
    assert (gone == gone[..., :1]).all()
    tall, wide = gone.any((2, 3)).sum(1), gone.any((1, 3)).sum(1)
    np.testing.assert_array_equal(gone[..., 0].sum((1, 2)), tall * wide)  # a rectangle
    assert tall.max() == wide.max() == side
    assert tall.min() == wide.min() == side - side // 2  # the centre is never outside

    def expected(size: int) -> float:
        """Mean number of places left of an interval whose centre is uniform on the axis."""
        starts = np.arange(size) - side // 2
        return float((np.minimum(starts + side, size) - np.maximum(starts, 0)).mean())

    area = expected(height) * expected(width)
    assert abs(gone[..., 0].sum((1, 2)).mean() / area - 1) < 0.03


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("shape", [(3, 9, 14, 1), (2, 1, 1, 3), (2, 6, 5, 2)])
def test_augmentation_of_any_size_and_channels(names: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    found = quick_jit(augmentation(names))(KEY, x)
    assert found.shape == shape and found.dtype == jnp.uint8


@pytest.mark.parametrize("names", NAMES)
def test_augmentation_of_an_image_does_not_depend_on_the_others(names: str, x: jax.Array) -> None:
    """What is drawn for an image follows from key and place, what is made of it from itself."""
    others = x.at[1:].set(255 - x[1:])
    augment = quick_jit(augmentation(names))
    np.testing.assert_array_equal(augment(KEY, x)[0], augment(KEY, others)[0])


def test_augmentation_none_is_no_transform() -> None:
    assert augmentation("none") is None


def test_unknown_augmentation_is_refused() -> None:
    with pytest.raises(UserError, match="unknown augmentation 'spin'"):
        augmentation("flip,spin")


def test_affine_map_is_that_of_other_libraries() -> None:
    """By SciPy, which asks where each place of the result comes from; to half a grey level."""
    x = np.asarray(noise_source((1,), side=20, channels=1).images[0])[:16]
    (angle, scale, shift) = (12.0, 0.8, np.array([0.1, -0.05], np.float32))
    found = quick_jit(rotated)(x, angle, scale, shift)
    turn = np.deg2rad(angle)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) / scale
    centre = (np.array([16, 20]) - 1) / 2
    offset = centre - matrix @ (centre + shift * [16, 20])
    expected = ndimage.affine_transform(
        x[..., 0].astype(float), matrix, offset, order=1, mode="grid-constant", cval=0
    )
    np.testing.assert_allclose(found[..., 0], expected, atol=0.51)


def test_affine_sizes_and_places_are_within_their_bounds() -> None:
    """The area of a bright disc tells the scale, its middle the shift."""
    rows, cols = np.mgrid[-20:20, -20:20] + 0.5
    disc = (np.hypot(rows, cols) < 8) * 200
    x = np.tile(disc.astype(np.uint8)[None, :, :, None], (400, 1, 1, 1))
    found = np.asarray(quick_jit(affine)(KEY, x))[..., 0].astype(float)
    scales = np.sqrt(found.sum((1, 2)) / disc.sum())
    assert 1.33 < scales.max() < 1.42 and 0.70 < scales.min() < 0.75
    assert abs(np.log(scales).mean()) < 0.03
    for axis in (rows, cols):
        middles = (found * axis).sum((1, 2)) / found.sum((1, 2))
        assert 4.5 < middles.max() < 5.1 and -5.1 < middles.min() < -4.5
