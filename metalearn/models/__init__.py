"""Bodies by name. Flax stays in here: what leaves is a `Network` of pure functions."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from metalearn.errors import UserError
from metalearn.models.conv4 import Conv4
from metalearn.models.norms import KINDS
from metalearn.models.relation import Relation
from metalearn.models.resnet import ResNet12
from metalearn.models.wrn import WideResNet
from metalearn.types import Array, Key, Network, PyTree

WIDE = (96, 192, 384, 512)

BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "conv2-8": lambda **kw: Conv4(widths=(8,) * 2, **kw),  # for tests
    "conv4-8": lambda **kw: Conv4(widths=(8,) * 4, **kw),  # for quick looks
    "conv4-32": lambda **kw: Conv4(widths=(32,) * 4, **kw),
    "conv4-48": lambda **kw: Conv4(widths=(48,) * 4, **kw),
    "conv4-64": lambda **kw: Conv4(widths=(64,) * 4, **kw),
    "conv4-32-gap": lambda **kw: Conv4(widths=(32,) * 4, readout="mean", **kw),
    "conv4-64-gap": lambda **kw: Conv4(widths=(64,) * 4, readout="mean", **kw),
    "conv4-64-strided": lambda **kw: Conv4(
        widths=(64,) * 4, downsample="stride", readout="mean", **kw
    ),
    "conv4-64-strided-flat": lambda **kw: Conv4(widths=(64,) * 4, downsample="stride", **kw),
    "conv4-64-rfs": lambda **kw: Conv4(widths=(64,) * 4, halved=3, readout="mean", **kw),
    "conv4-8-map": lambda **kw: Conv4(widths=(8,) * 4, halved=2, readout="map", **kw),
    "conv4-64-map": lambda **kw: Conv4(widths=(64,) * 4, halved=2, readout="map", **kw),
    "conv4-64-r2d2": lambda **kw: Conv4(
        widths=(64,) * 4, halved=3, readout="last two", slope=0.1, drop=0.4, **kw
    ),
    "conv4-512": lambda **kw: Conv4(
        widths=WIDE, halved=3, readout="last two", slope=0.1, drop=0.4, **kw
    ),
    "conv4-512-28px": lambda **kw: Conv4(
        widths=WIDE, halved=3, readout="last two", slope=0.1, **kw
    ),
    "conv4-512-84px": lambda **kw: Conv4(
        widths=WIDE, halved=3, readout="last two", slope=0.1, drop=0.1, **kw
    ),
    "resnet12": lambda **kw: ResNet12(**kw),
    "resnet12-512": lambda **kw: ResNet12(widths=(64, 128, 256, 512), **kw),
    "resnet12-flat": lambda **kw: ResNet12(readout="flatten", **kw),
    "resnet12-84px": lambda **kw: ResNet12(dropblock=5, **kw),
    "resnet12-84px-flat": lambda **kw: ResNet12(dropblock=5, readout="flatten", **kw),
    "wrn-28-10": lambda **kw: WideResNet(**kw),
}


def as_network(module: nn.Module) -> Network:
    """The pure functions of a Linen module called as `module(x, deterministic)`."""

    def init(key: Key, x: Array) -> PyTree:
        return module.init(key, x)["params"]

    def apply(
        params: PyTree, x: Array, moments: PyTree | None = None, key: Key | None = None
    ) -> Array:
        variables = {"params": params} | ({} if moments is None else {"moments": moments})
        rngs = None if key is None else {"dropout": key}
        z: Array = module.apply(variables, x, deterministic=key is None, rngs=rngs)  # type: ignore[assignment]
        return z

    def moments(params: PyTree, x: Array) -> PyTree:
        _, state = module.apply({"params": params}, x, mutable=["moments"])
        return state.get("moments", {})

    return Network(init, apply, moments, getattr(module, "prepare", lambda x: x))


def mirrored(network: Network) -> Network:
    """The same network with features that are the mean of those of an image and of its mirror."""

    def apply(
        params: PyTree, x: Array, moments: PyTree | None = None, key: Key | None = None
    ) -> Array:
        z = network.apply(params, x, moments, key)
        return (z + network.apply(params, x[:, :, ::-1], moments, key)) / 2

    return Network(network.init, apply, network.moments)


# Initial kernels by name; where there is none, each network's own.
INITIALIZERS: dict[str, nn.initializers.Initializer | None] = {
    "default": None,
    "torch": nn.initializers.variance_scaling(
        1 / 3, "fan_in", "uniform"
    ),  # U(-1/sqrt(fan), 1/sqrt(fan))
    "he": nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
}


def make_network(
    name: str,
    norm: str = "batch",
    dtype: jnp.dtype = jnp.float32,
    shared: bool = False,
    initial: str = "default",
) -> Network:
    """A body of `BACKBONES`.

    Args:
      name: key of `BACKBONES`.
      norm: kind of `Norm` inside.
      dtype: of the convolutions' inputs; parameters and sums stay float32.
      shared: faster for learners that do not adapt the body, slower for those that do: see
        `metalearn.models.conv`.
      initial: initial kernels, a key of `INITIALIZERS`.

    Raises:
      UserError: unknown name, norm or initial weights.
    """
    if name not in BACKBONES:
        raise UserError(f"unknown backbone '{name}': choose one of {', '.join(BACKBONES)}")
    if norm not in KINDS:
        raise UserError(f"unknown normalisation '{norm}': choose one of {', '.join(KINDS)}")
    kernel_init = _kernel_init(initial)
    return as_network(
        BACKBONES[name](norm=norm, dtype=dtype, shared=shared, kernel_init=kernel_init)
    )


def _kernel_init(initial: str) -> nn.initializers.Initializer | None:
    if initial not in INITIALIZERS:
        raise UserError(
            f"unknown initial weights '{initial}': choose one of {', '.join(INITIALIZERS)}"
        )
    return INITIALIZERS[initial]


def flattened(network: Network) -> Network:
    """The same network with features [B,D] where it has maps [B,H,W,F]: what every head but a
    relation takes.
    """

    def apply(
        params: PyTree, x: Array, moments: PyTree | None = None, key: Key | None = None
    ) -> Array:
        z = network.apply(params, x, moments, key)
        return z.reshape(len(z), -1)

    return network._replace(apply=apply)


def make_relation(
    width: int = 64, dtype: jnp.dtype = jnp.float32, shared: bool = True, initial: str = "default"
) -> Network:
    """What compares feature maps in relation networks; see `Relation`."""
    return as_network(
        Relation(width, dtype=dtype, shared=shared, kernel_init=_kernel_init(initial))
    )
