"""Image transforms: what they may do, and that every image meets its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.data.augment import augmentation, crop, flip, jitter
from metalearn.errors import UserError
from tests.small import noise_source, quick_jit

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def x() -> jax.Array:
    """One image, 64 times."""
    return jnp.tile(noise_source((1,), side=16, channels=3).images, (64, 1, 1, 1))


@pytest.mark.parametrize("names", ["flip", "crop", "jitter", "flip,crop,jitter"])
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


def test_augmentation_none_is_no_transform() -> None:
    assert augmentation("none") is None


def test_unknown_augmentation_is_refused() -> None:
    with pytest.raises(UserError, match="unknown augmentation 'spin'"):
        augmentation("flip,spin")
