"""Low-rank adapters of small networks: nothing at first, then what their factors say."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metalearn.errors import UserError
from metalearn.models import bottleneck, transformer
from metalearn.models.lora import adapted, init_adapters
from metalearn.models.staged import staged_network
from metalearn.models.zoo import load_body
from metalearn.training.trees import shapes
from metalearn.types import Network, PyTree, random_key
from tests.small import quick_jit

STYLE = bottleneck.Style(eps=1e-3, same=True)
MODULES = {
    "transformer": partial(
        transformer.network, transformer.Size(blocks=2, width=16, heads=2, patch=8, grid=2)
    ),
    "bottleneck": partial(
        bottleneck.build,
        (bottleneck.Stage(1, 3, 1, 1, 8), bottleneck.Stage(2, 3, 2, 2, 12)),
        STYLE,
    ),
}


def made(name: str) -> tuple[Network, PyTree, jax.Array]:
    network = staged_network(MODULES[name]())
    x = jax.random.normal(random_key(0), (2, 16, 16, 3))
    return network, quick_jit(network.init)(random_key(1), x), x


def changed(adapters: PyTree, seed: int = 5) -> PyTree:
    """Factors of which none is zero."""
    leaves, tree = jax.tree.flatten(adapters)
    keys = jax.random.split(random_key(seed), len(leaves))
    new = [jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return tree.unflatten(new)


@pytest.mark.parametrize("name", MODULES)
def test_adapters_change_nothing_at_first_and_all_learn(name: str) -> None:
    network, params, x = made(name)
    adapters = init_adapters(random_key(2), params, 2)
    apply = quick_jit(network.apply)
    np.testing.assert_array_equal(apply(adapted(params, adapters, 3.0), x), apply(params, x))

    @quick_jit
    @jax.grad
    def gradient(adapters: PyTree) -> jax.Array:
        return jnp.square(network.apply(adapted(params, adapters, 3.0), x)).mean()

    first = shapes(adapters).keys()
    found = dict(zip(first, jax.tree.leaves(gradient(adapters)), strict=True))
    later = dict(zip(first, jax.tree.leaves(gradient(changed(adapters))), strict=True))
    for path in first:
        # While b is zero, a has no gradient
        assert found[path].any() == path.endswith("b"), path
        assert later[path].any() and jnp.isfinite(later[path]).all()


@pytest.mark.parametrize("name", MODULES)
def test_adapted_kernels_are_the_kernels_plus_the_products(name: str) -> None:
    network, params, x = made(name)
    adapters = changed(init_adapters(random_key(2), params, 2))
    merged = adapted(params, adapters, 0.5)
    assert shapes(merged) == shapes(params)
    factors = dict(zip(shapes(adapters), jax.tree.leaves(adapters), strict=True))
    leaves = zip(shapes(params), jax.tree.leaves(params), jax.tree.leaves(merged), strict=True)
    touched = 0
    for path, before, after in leaves:
        if f"{path}/a" in factors:
            product = np.float64(factors[f"{path}/a"]) @ np.float64(factors[f"{path}/b"])
            expected = before + 0.5 * product.reshape(before.shape)
            np.testing.assert_allclose(after, expected, atol=1e-5)
            touched += 1
        else:
            np.testing.assert_array_equal(after, before)
    assert 2 * touched == len(factors)
    apply = quick_jit(network.apply)
    assert not np.allclose(apply(merged, x), apply(params, x), atol=1e-3)


def test_dense_layers_of_a_transformer_are_adapted() -> None:
    _, params, _ = made("transformer")
    adapters = init_adapters(random_key(2), params, 3)
    of_block = {
        "qkv/kernel/a": (16, 3),
        "qkv/kernel/b": (3, 48),
        "out/kernel/a": (16, 3),
        "out/kernel/b": (3, 16),
        "mlp1/kernel/a": (16, 3),
        "mlp1/kernel/b": (3, 64),
        "mlp2/kernel/a": (64, 3),
        "mlp2/kernel/b": (3, 16),
    }
    expected = {f"block{i}/{name}": shape for i in (1, 2) for name, shape in of_block.items()}
    assert shapes(adapters) == expected


def test_first_factors_are_normal_and_differ() -> None:
    params = {str(i): {"kernel": jnp.zeros((400, 50))} for i in range(2)}
    adapters = init_adapters(random_key(3), params, 20)
    (a, b) = (adapters[name]["kernel"]["a"] for name in ("0", "1"))
    assert float(a.std()) == pytest.approx(400**-0.5, rel=0.03)
    assert abs(float(jnp.corrcoef(a.ravel(), b.ravel())[0, 1])) < 0.05


def test_pointwise_convolutions_of_lite0_are_adapted() -> None:
    """Each of its 32 larger than the rank: two of every block but the first's one, and the last."""
    params = load_body("efficientnet-lite0").params
    adapters = init_adapters(random_key(2), params, 8)
    kernels = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 4]
    pointwise = [k.shape for k in kernels if k.shape[:2] == (1, 1)]
    assert len(pointwise) == 32 and len(jax.tree.leaves(adapters)) == 64
    count = sum(leaf.size for leaf in jax.tree.leaves(adapters))
    assert count == sum(8 * (shape[2] + shape[3]) for shape in pointwise)
    fewer = init_adapters(random_key(2), params, 16)
    left = [shape for shape in pointwise if min(shape[2:]) > 16]
    assert len(jax.tree.leaves(fewer)) == 2 * len(left) < 64


def test_wanted_kernels_alone_are_adapted() -> None:
    _, params, _ = made("transformer")

    def patches(path: str, leaf: jax.Array) -> bool:
        return path == "stem/kernel"

    adapters = init_adapters(random_key(2), params, 4, patches)
    assert shapes(adapters) == {"stem/kernel/a": (192, 4), "stem/kernel/b": (4, 16)}
    merged = adapted(params, changed(adapters))
    assert merged["stem"]["kernel"].shape == (8, 8, 3, 16)
    assert merged["block1"] is params["block1"]


def test_what_cannot_be_adapted_is_refused() -> None:
    _, params, _ = made("transformer")
    with pytest.raises(UserError, match="no kernel for adapters of rank 16"):
        init_adapters(random_key(2), params, 16)
    with pytest.raises(UserError, match="rank 0 of adapters"):
        init_adapters(random_key(2), params, 0)
    with pytest.raises(UserError, match=r"bias \(16,\) has no rank"):
        init_adapters(random_key(2), params, 2, lambda path, leaf: path == "block1/out/bias")
