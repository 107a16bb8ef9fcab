"""Images as a body takes them."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from metalearn.data.inputs import LUMA, inputs_of, recoloured, resized, standardise
from metalearn.data.source import Dataset, Split
from metalearn.errors import UserError
from metalearn.types import FILTERS, InputSpec

RNG = np.random.default_rng(0)


def dataset(channels: int = 1, std: float | None = None) -> Dataset:
    images = RNG.integers(0, 256, (100, 6, 4, channels), np.uint8)
    split = Split(images, np.array([50, 50], np.int32), ("a", "b"))
    scaled = images / 255
    deviation = scaled.std((0, 1, 2)) if std is None else np.full(channels, std)
    return Dataset("noise", split, split, split, scaled.mean((0, 1, 2)), deviation)


def test_inputs_are_those_of_the_training_split() -> None:
    inputs = inputs_of(dataset(3))
    assert inputs.size == (6, 4) and inputs.shape == (6, 4, 3)
    assert len(inputs.mean) == len(inputs.std) == 3


def test_standardised_images_have_mean_0_and_deviation_1() -> None:
    given = dataset(3)
    x = standardise(inputs_of(given))(jnp.asarray(given.train.images))
    assert x.dtype == jnp.float32
    np.testing.assert_allclose(x.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std((0, 1, 2)), 1, atol=1e-5)


def test_a_constant_channel_becomes_zero() -> None:
    """Not NaN: a grey picture saved as one channel of three is no reason to stop."""
    inputs = inputs_of(dataset(std=0.0))._replace(mean=(0.5,))
    x = standardise(inputs)(jnp.full((2, 6, 4, 1), 255, jnp.uint8))
    np.testing.assert_array_equal(x, np.full((2, 6, 4, 1), 0.5))


@pytest.mark.parametrize("method", FILTERS)
def test_resizing_is_that_of_an_image_library(method: str) -> None:
    images = RNG.integers(0, 256, (1, 12, 9, 1), np.uint8)
    for size in ((24, 18), (5, 4)):
        found = resized(jnp.asarray(images, jnp.float32), size, method)
        grey = Image.fromarray(images[0, :, :, 0].astype(np.float32), mode="F")
        wanted = grey.resize(size[::-1], Image.Resampling[method.upper()])
        np.testing.assert_allclose(found[0, :, :, 0], np.asarray(wanted), atol=0.01)


def test_images_of_the_right_size_stay_as_they_are() -> None:
    x = jnp.ones((2, 6, 4, 3))
    assert resized(x, (6, 4)) is x and recoloured(x, 3) is x


def test_grey_images_become_colours_and_colours_grey() -> None:
    grey = jnp.asarray(RNG.random((2, 3, 3, 1)), jnp.float32)
    np.testing.assert_array_equal(recoloured(grey, 3), np.repeat(grey, 3, -1))
    np.testing.assert_allclose(recoloured(recoloured(grey, 3), 1), grey, rtol=1e-6)
    assert LUMA.sum() == pytest.approx(1)


def test_other_channels_are_refused() -> None:
    inputs = InputSpec((4, 4), (0.0,) * 3, (1.0,) * 3)
    with pytest.raises(UserError, match="images of 4 channels do not fit a body that takes 3"):
        standardise(inputs)(jnp.zeros((1, 4, 4, 4), jnp.uint8))
