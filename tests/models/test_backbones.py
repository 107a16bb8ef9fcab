"""Conv4 and ResNet-12: sizes, parameter counts, moments, dropout, precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.errors import UserError
from metalearn.models import BACKBONES, as_network, make_network, make_relation
from metalearn.models.conv4 import Conv4
from metalearn.models.norms import Norm
from metalearn.models.resnet import DropBlock, ResNet12
from metalearn.models.wrn import WideResNet
from metalearn.types import Network, PyTree
from tests.small import quick_jit, tiny_network

KEY = jax.random.key(0)
UNNORMALISED = ("cnn",)  # bodies without normalisation layers
LEAST = {"cnn": 18, "lenet": 16}  # pixels of a side, of bodies whose convolutions are not padded


def feature_size(name: str, side: int, channels: int = 3) -> int:
    norm = "none" if name in UNNORMALISED else "batch"
    network, x = make_network(name, norm), jnp.zeros((2, side, side, channels))
    z = jax.eval_shape(lambda x: network.apply(network.init(KEY, x[:1]), x), x)
    assert (
        z.dtype == jnp.float32 and z.shape[0] == 2 and z.ndim == (4 if name.endswith("-map") else 2)
    )
    return z.size // 2


def parameter_count(network: Network) -> int:
    params = jax.eval_shape(network.init, KEY, jnp.zeros((1, 32, 32, 3)))
    return sum(p.size for p in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("name", "side", "features"),
    [
        ("conv4-64", 28, 64),
        ("conv4-64", 32, 4 * 64),
        ("conv4-64", 84, 25 * 64),
        ("conv4-32", 84, 25 * 32),
        ("conv4-64-strided", 28, 64),
        ("conv4-64-strided-flat", 28, 4 * 64),
        ("conv4-64-gap", 84, 64),
        ("conv4-64-rfs", 32, 64),
        ("conv4-64-map", 32, 8 * 8 * 64),
        ("conv4-64-map", 84, 21 * 21 * 64),
        ("conv4-64-r2d2", 32, 3 * 3 * (64 + 64)),
        ("conv4-512", 32, 3 * 3 * (384 + 512)),
        ("conv4-512-28px", 28, 2 * 2 * (384 + 512)),
        ("conv4-512-84px", 84, 9 * 9 * (384 + 512)),
        ("resnet12", 84, 640),
        ("resnet12-512", 32, 512),
        ("wrn-28-10", 32, 640),
        ("resnet12-84px", 84, 640),
        ("resnet12-flat", 84, 25 * 640),
        ("resnet12-flat", 32, 4 * 640),
        ("lenet", 28, 500),
        ("bottleneck", 28, 256),
        ("cnn", 28, 64),
        ("cnn", 32, 64),
        ("cnn-bn", 28, 128),
        ("cnn-bn", 32, 128),
    ],
)
def test_backbone_feature_sizes(name: str, side: int, features: int) -> None:
    assert feature_size(name, side) == features


def test_every_backbone_takes_images_of_one_pixel() -> None:
    """Or of the fewest that convolutions without padding leave a place of."""
    assert {
        name: feature_size(name, LEAST.get(name, 1), channels=1) for name in BACKBONES
    }.keys() == BACKBONES.keys()


def test_backbone_parameter_counts() -> None:
    def layer(kernel: int, inputs: int, outputs: int) -> int:
        return kernel**2 * inputs * outputs + 2 * outputs  # weights, scales, shifts; no bias

    conv4 = layer(3, 3, 64) + 3 * layer(3, 64, 64)
    assert parameter_count(make_network("conv4-64")) == conv4 == 112_832

    def resnet12(widths: tuple[int, ...]) -> int:
        total = 0
        for inputs, width in zip((3, *widths), widths, strict=False):
            total += layer(3, inputs, width) + 2 * layer(3, width, width) + layer(1, inputs, width)
        assert parameter_count(as_network(ResNet12(widths=widths))) == total
        return total

    # The literature's "12.4M" of the wide network and "8.0M" of the narrow one, without their
    # classifiers.
    assert round(resnet12((64, 160, 320, 640)) / 1e6, 1) == 12.4
    assert round(resnet12((64, 128, 256, 512)) / 1e6, 1) == 8.0
    assert parameter_count(make_network("resnet12")) == resnet12((64, 160, 320, 640))


def test_given_moments_of_the_same_images_give_the_same_features() -> None:
    network, x = tiny_network(), jax.random.normal(KEY, (5, 8, 8, 1))
    params = network.init(KEY, x)
    moments, apply = quick_jit(network.moments), quick_jit(network.apply)
    np.testing.assert_allclose(
        apply(params, x, moments(params, x)), apply(params, x), rtol=1e-5, atol=1e-5
    )
    assert jnp.abs(apply(params, x, moments(params, 2 * x + 1)) - apply(params, x)).max() > 0.1


@pytest.mark.parametrize("norm", ["group", "layer", "none"])
def test_only_batch_normalisation_has_moments(norm: str) -> None:
    network, x = tiny_network(norm), jax.random.normal(KEY, (2, 8, 8, 1))
    params = network.init(KEY, x)
    assert network.moments(params, x) == {}
    np.testing.assert_array_equal(network.apply(params, x, {}), network.apply(params, x))


def drop(rate: float, size: int, key: jax.Array | None, side: int = 20) -> np.ndarray:
    x = jnp.ones((16, side, side, 8))
    rngs = None if key is None else {"dropout": key}
    return np.asarray(DropBlock(rate, size).apply({}, x, key is None, rngs=rngs))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_dropblock_drops_about_its_rate_and_rescales(size: int) -> None:
    assert (drop(0.1, size, None) == 1).all()
    dropped = drop(0.1, size, KEY)
    assert abs((dropped == 0).mean() - 0.1) < 0.015
    np.testing.assert_allclose(dropped.mean(), 1, rtol=1e-5)
    assert len(np.unique(dropped)) == 2
    assert (drop(0.1, size, jax.random.key(1)) != dropped).any()


def test_dropblock_drops_whole_squares() -> None:
    """Whatever is dropped lies in a 3x3 square that is dropped whole."""
    gone = drop(0.05, 3, KEY) == 0
    windows = np.lib.stride_tricks.sliding_window_view(gone, (3, 3), (1, 2)).all((-1, -2))
    covered = np.zeros_like(gone)
    for i in range(3):
        for j in range(3):
            covered[:, i : i + windows.shape[1], j : j + windows.shape[2]] |= windows
    np.testing.assert_array_equal(covered, gone)
    assert gone.any()


def test_dropblock_larger_than_the_map_drops_all_of_it() -> None:
    gone = (drop(0.3, 5, KEY, side=2) == 0).reshape(16, 4, 8)
    assert (gone.all(1) == gone.any(1)).all() and gone.any() and not gone.all()


def test_resnet12_gradients_are_finite_and_dropout_is_random() -> None:
    """Three of its blocks: the third has DropBlock, and a fourth would only compile for longer."""
    network = as_network(ResNet12(widths=(4, 4, 8)))
    x = jax.random.normal(KEY, (2, 16, 16, 3))
    params = quick_jit(network.init)(KEY, x)

    @quick_jit
    def gradient(params: PyTree, key: jax.Array) -> PyTree:
        return jax.grad(lambda p: jnp.square(network.apply(p, x, key=key)).sum())(params)

    gradients = [gradient(params, jax.random.key(i)) for i in (0, 1)]
    assert all(
        jnp.isfinite(g).all() and jnp.abs(g).max() > 0 for g in jax.tree.leaves(gradients[0])
    )
    assert not jnp.array_equal(*(g["block0_conv0"] for g in gradients))  # dropout


def test_bfloat16_products_stay_near_float32() -> None:
    x = jax.random.normal(KEY, (4, 8, 8, 1))
    exact, rough = tiny_network(), tiny_network(dtype=jnp.bfloat16)
    params = exact.init(KEY, x)
    found, expected = rough.apply(params, x), exact.apply(params, x)
    assert found.dtype == jnp.float32
    assert 0 < jnp.abs(found - expected).max() < 0.05
    assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(rough.init(KEY, x)))


@pytest.mark.parametrize(("name", "norm"), [("conv5", "batch"), ("conv4-64", "instance")])
def test_unknown_backbones_and_normalisations_are_refused(name: str, norm: str) -> None:
    with pytest.raises(UserError, match="choose one of"):
        make_network(name, norm)


def test_last_two_blocks_readout() -> None:
    """Overlapping maxima of the network with one block less, then its own; leaky activations,
    dropout needs a key.
    """
    options = dict(halved=2, slope=0.1, norm="none")
    three = as_network(Conv4(widths=(4, 4, 6), readout="last two", drop=0.5, **options))
    two, alone = (
        as_network(Conv4(widths=widths, readout="map", **options)) for widths in ((4, 4), (4, 4, 6))
    )
    x = jax.random.normal(KEY, (2, 12, 12, 3))
    params = quick_jit(three.init)(KEY, x)
    z = quick_jit(three.apply)(params, x)
    assert z.shape == (2, 2 * 2 * 4 + 2 * 2 * 6)
    for network, part in ((two, z[:, :16]), (alone, z[:, 16:])):
        y = np.asarray(quick_jit(network.apply)(params, x))  # [2,3,3,F]
        maxima = np.max([y[:, i : i + 2, j : j + 2] for i in (0, 1) for j in (0, 1)], axis=0)
        np.testing.assert_allclose(part, maxima.reshape(2, -1), rtol=1e-4, atol=1e-5)
    negative, positive = -z[z < 0], z[z > 0]
    assert negative.size and positive.size and 0.02 < negative.mean() / positive.mean() < 0.5
    dropped = quick_jit(lambda key: three.apply(params, x, None, key))(KEY)
    assert 0.2 < (dropped[:, :16] == 0).mean() < 0.8 and (z != 0).all()


def test_relation_module_scores_every_pair() -> None:
    """As by the convolution of joined maps, in numpy; its last units begin with biases of one."""
    module = make_relation(width=4)
    queries, classes = (
        jax.random.normal(key, (n, 2, 2, 3))
        for key, n in zip(jax.random.split(KEY), (3, 2), strict=True)
    )
    params = quick_jit(module.init)(KEY, (classes, queries))
    assert (params["hidden"]["bias"] == 1).all() and (params["score"]["bias"] == 1).all()
    params = jax.tree.map(lambda p: p + 0.3 * jax.random.normal(KEY, p.shape), params)
    scores = quick_jit(module.apply)(params, (classes, queries))
    assert scores.shape == (3, 2)

    def joined_conv(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        padded, side = np.pad(x, ((1, 1), (1, 1), (0, 0))), len(x)
        return np.array(
            [
                [np.tensordot(padded[i : i + 3, j : j + 3], w, 3) for j in range(side)]
                for i in range(side)
            ]
        )

    def block(i: int, pairs: list[np.ndarray], pool: bool) -> list[np.ndarray]:
        y = np.stack([joined_conv(x, np.asarray(params[f"conv{i}"])) for x in pairs])
        normed = np.asarray(Norm("batch", 1).apply({"params": params[f"norm{i}"]}, y))
        return list(np.maximum(normed.max((1, 2), keepdims=True) if pool else normed, 0))

    for q in range(3):
        pairs = [np.concatenate([classes[n], queries[q]], -1) for n in range(2)]
        for n, x in enumerate(block(1, block(0, pairs, True), False)):
            hidden = np.maximum(
                x.ravel() @ params["hidden"]["kernel"] + params["hidden"]["bias"], 0
            )
            expected = (hidden @ params["score"]["kernel"] + params["score"]["bias"])[0]
            assert float(scores[q, n]) == pytest.approx(float(expected), rel=1e-3, abs=1e-4)


def test_wide_resnet_parameters_and_features() -> None:
    """The published 36.5 million parameters, less the last layer's 640 x 10 + 10; a halving in two
    of three groups.
    """
    assert parameter_count(make_network("wrn-28-10")) == 36_479_194 - 6410
    small, x = as_network(WideResNet(depth=10, widen=1)), jax.random.normal(KEY, (2, 8, 8, 3))
    params = quick_jit(small.init)(KEY, x)
    z = quick_jit(small.apply)(params, x)
    assert z.shape == (2, 64) and (z >= 0).all() and z.std() > 0
    assert {k for k in params if "shortcut" in k} == {f"group{i}_block0_shortcut" for i in (1, 2)}


@pytest.mark.parametrize("backbone", ["conv4-8", "conv4-64-strided"])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_prepared_images_give_the_same_features(backbone: str, norm: str) -> None:
    network, x = make_network(backbone, norm), 3 + jax.random.normal(KEY, (4, 8, 8, 3))
    params = network.init(KEY, x)
    found, wanted = (jax.jit(network.apply)(params, images) for images in (network.prepare(x), x))
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("initial", "sd"), [("torch", (1 / 3 / (9 * 64)) ** 0.5), ("he", (2 / (9 * 64)) ** 0.5)]
)
def test_initial_kernels_have_the_variance_of_their_recipe(initial: str, sd: float) -> None:
    """PyTorch's default is U(-1/sqrt(fan_in), 1/sqrt(fan_in)); He et al. 2015, over the outputs,
    N(0, 2 / fan_out).
    """
    made = make_network("conv4-64", initial=initial).init(
        jax.random.key(0), jnp.zeros((1, 16, 16, 3))
    )
    w = np.asarray(made["conv1"])
    assert w.shape == (3, 3, 64, 64) and w.std() == pytest.approx(sd, rel=0.02)
    assert initial != "torch" or np.abs(w).max() <= (9 * 64) ** -0.5
