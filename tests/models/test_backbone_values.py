"""Pre-trained networks with made-up weights: shapes of their parts, and numbers that stay."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.errors import UserError
from metalearn.models.pooling import average_pool3
from metalearn.models.transformer import cubic
from metalearn.models.vgg import averaged
from metalearn.models.zoo import BODIES, make_body
from metalearn.types import Array, PyTree
from tests.small import quick_jit


def weights(name: str, last: str) -> tuple[PyTree, PyTree]:
    """Parameters and running statistics of the stages up to `last`, drawn by the names of leaves."""
    family = BODIES[name].family()
    module = family.build()
    size = family.layouts[0].inputs.size[0]
    image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    shapes = jax.eval_shape(module.init, jax.random.key(0), image)
    rng = np.random.default_rng(0)

    def drawn(path, leaf):
        value = rng.normal(size=leaf.shape)
        if path[-1].key in ("scale", "var"):
            return jnp.asarray(1 + 0.3 * np.tanh(value), jnp.float32)
        fan = np.prod(leaf.shape[:-1]) if len(leaf.shape) > 1 else 100
        return jnp.asarray(value * np.sqrt(2 / fan), jnp.float32)

    chosen = module.names[: module.names.index(last) + 1]
    (params, moments) = (
        {stage: dict(shapes.get(tree, {})).get(stage, {}) for stage in chosen}
        for tree in ("params", "moments")
    )
    return jax.tree.map_with_path(drawn, params), jax.tree.map_with_path(drawn, moments)


def picture(size: int) -> Array:
    (y, x) = np.mgrid[:size, :size] / size
    waves = [np.sin(7 * x + 3 * y * (c + 1)) * np.cos(5 * y - c) for c in range(3)]
    return jnp.asarray(np.stack(waves, -1)[None], jnp.float32)


# Body, last stage, pixels; the shape of its output, and mean, spread and last number of it. Found by
# these networks when they agreed with other libraries' to 1e-5: tests/models/test_parity_*.py
VALUES = [
    ("resnet18", "final", 64, (1, 512), (7.83129, 7.0675, 3.87955)),
    ("resnet50", "stage2", 64, (1, 8, 8, 512), (8.14419, 9.96392, 8.94985)),
    ("vgg16", "stage2", 32, (1, 8, 8, 128), (0.43441, 0.51925, 0.16627)),
    ("vgg16-bn", "stage2", 32, (1, 8, 8, 128), (0.50118, 0.59832, 0.0)),
    ("inception-v3", "Mixed_6b", 107, (1, 5, 5, 768), (0.43385, 0.6911, 0.16866)),
    ("inception-v3-keras", "Mixed_5b", 107, (1, 11, 11, 256), (0.48075, 0.72231, 0.85726)),
    ("mobilenet-v2", "final", 64, (1, 1280), (1.38588, 1.44243, 3.86999)),
    ("mobilenet-v2-transformers", "final", 64, (1, 1280), (1.39885, 1.41166, 2.23574)),
    ("vit-s16", "block2", 224, (1, 197, 384), (0.0387, 2.95902, 0.78653)),
    ("vit-s16-transformers", "block1", 224, (1, 197, 384), (-0.01325, 2.15527, -3.33553)),
    ("dinov2-s14", "block2", 56, (1, 17, 384), (-0.00644, 0.79386, -1.12882)),
]


@pytest.mark.parametrize(("name", "last", "size", "shape", "golden"), VALUES)
def test_values(name: str, last: str, size: int, shape: tuple, golden: tuple) -> None:
    (params, moments) = weights(name, last)
    run = quick_jit(make_body(name).run, static_argnames=("first", "last"))
    z = np.asarray(run(params, picture(size), moments, last=last))
    assert z.shape == shape
    np.testing.assert_allclose((z.mean(), z.std(), z.flat[-1]), golden, rtol=1e-3, atol=1e-4)


def test_images_that_do_not_divide_into_patches() -> None:
    (params, moments) = weights("dinov2-s14", "stem")
    with pytest.raises(UserError, match="60x60 pixels do not divide into patches of 14"):
        make_body("dinov2-s14").run(params, picture(60), moments, last="stem")


@pytest.mark.parametrize(
    ("name", "least"), [("vgg16", 32), ("vgg16-bn", 32), ("inception-v3", 75), ("resnet18", 1)]
)
def test_images_that_leave_no_map_are_refused(name: str, least: int) -> None:
    network = make_body(name).network

    def features(side: int) -> tuple[int, ...]:
        x = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
        params = jax.eval_shape(network.init, jax.random.key(0), x)
        return jax.eval_shape(network.apply, params, x).shape

    assert features(least)[1] in (512, 2048, 4096)
    if least > 1:
        size = f"{least - 1}x{least - 1} pixels are too small for this network"
        with pytest.raises(UserError, match=f"{size}: give --input_size={least} or more"):
            features(least - 1)


def test_positions_are_interpolated_by_cubics() -> None:
    """A line stays a line away from the border, and weights sum to one."""
    rows = cubic(16, 37)
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-6)
    line = rows @ np.arange(37.0)
    np.testing.assert_allclose(line[1:-1], (np.arange(1, 15) + 0.5) * 37 / 16 - 0.5, atol=0.05)
    np.testing.assert_array_equal(cubic(5, 5), np.eye(5))


def test_maps_of_another_size_are_averaged() -> None:
    """As PyTorch's adaptive average: windows overlap where they must, and places are repeated."""
    x = jnp.arange(5.0).reshape(1, 5, 1, 1)
    np.testing.assert_allclose(averaged(x, 3)[0, :, 0, 0], [0.5, 2, 3.5])
    np.testing.assert_allclose(averaged(x[:, :2], 4)[0, :, 0, 0], [0, 0, 1, 1])


@pytest.mark.parametrize("extent", [1, 2, 3, 5])
def test_means_of_neighbours_of_small_maps(extent: int) -> None:
    """Those beyond the border do not count, however few are on it."""
    x = jnp.arange(1.0, extent + 1).reshape(1, extent, 1, 1)
    row = np.arange(1.0, extent + 1)
    expected = [row[max(i - 1, 0) : i + 2].mean() for i in range(extent)]
    np.testing.assert_allclose(average_pool3(x, counted=False)[0, :, 0, 0], expected, rtol=1e-6)


def test_random_weights() -> None:
    """Their features neither vanish nor explode, and tell images apart."""
    body = make_body("resnet18")
    x = picture(64)
    params = quick_jit(body.network.init)(jax.random.key(0), x)
    z = quick_jit(body.network.apply)(params, jnp.concatenate([x, -x]))
    assert 0.01 < float(jnp.abs(z).mean()) < 100
    assert float(jnp.abs(z[0] - z[1]).mean()) > 1e-3
