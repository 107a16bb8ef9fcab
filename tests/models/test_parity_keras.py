"""VGG-16 and Inception-v3 of random weights against those of Keras, in each of its formats."""

import os
from pathlib import Path

import numpy as np
import pytest

from metalearn.data.inputs import standardise
from metalearn.models.weights import read_weights
from metalearn.models.zoo import load_body
from tests.models import parity
from tests.models.parity import compare, features, images

os.environ.setdefault("KERAS_BACKEND", "jax")
parity.libraries("keras", "h5py")
import keras  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of another library


def randomise(model) -> None:
    """Kernels of He's, and shifts and running statistics that are not zeros and ones."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        shape = tuple(weight.shape)
        if len(shape) > 1:
            value = rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[:-1]))
        elif "variance" in weight.path:
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.normal(size=shape) * 0.1
        weight.assign(value.astype(np.float32))


def inner(model, layer: str, x: np.ndarray) -> np.ndarray:
    """The output of a layer."""
    part = keras.Model(model.input, model.get_layer(layer).output)
    return np.asarray(part.predict(x, verbose=0))


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


def test_vgg16(tmp_path: Path) -> None:
    """Keras takes blue, green and red, from which it takes its means."""
    model = keras.applications.VGG16(weights=None, classes=7)
    randomise(model)
    model.save(tmp_path / "net.h5")
    body = load_body("vgg16", tmp_path / "net.h5")
    pixels = 127 + 60 * images(224, 1)
    keras_x = keras.applications.vgg16.preprocess_input(pixels.copy())
    x = np.asarray(standardise(body.inputs)(pixels))
    np.testing.assert_allclose(x[..., ::-1], keras_x, atol=1e-4)
    compare(features(body, x.astype(np.float32)), inner(model, "fc2", keras_x))
    assert body.classifier["kernel"].shape == (4096, 7)


def test_inception(tmp_path: Path) -> None:
    model = keras.applications.InceptionV3(weights=None, classes=7)
    randomise(model)
    model.save_weights(tmp_path / "net.weights.h5")
    x = images(299, 1)
    body = load_body("inception-v3", tmp_path / "net.weights.h5")
    compare(features(body, x), inner(model, "avg_pool", x))
    compare(features(body, x, last="Mixed_5b"), inner(model, "mixed0", x))
    compare(features(body, x, last="Mixed_7a"), inner(model, "mixed8", x))


def test_formats(tmp_path: Path) -> None:
    """The same arrays from each, whatever the layers' numbers begin at."""
    found = []
    for name in ("net.keras", "net.h5", "net.weights.h5"):
        model = keras.Sequential(
            [
                keras.layers.Input((6, 6, 3)),
                keras.layers.Conv2D(4, 3),
                keras.layers.BatchNormalization(scale=False),
                keras.layers.Conv2D(5, 3, use_bias=False),
                keras.layers.Dense(2, name="predictions"),
            ]
        )
        randomise(model)
        path = tmp_path / name
        model.save_weights(path) if "weights" in name else model.save(path)
        found.append(read_weights(path))
    assert {key: value.shape for key, value in found[0].items()} == {
        "conv2d/0": (3, 3, 3, 4),
        "conv2d/1": (4,),
        "batch_normalization/0": (4,),
        "batch_normalization/1": (4,),
        "batch_normalization/2": (4,),
        "conv2d_1/0": (3, 3, 4, 5),
        "predictions/0": (5, 2),
        "predictions/1": (2,),
    }
    same(found[1], found[0])
    same(found[2], found[0])
