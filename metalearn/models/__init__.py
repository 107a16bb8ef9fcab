"""Backbones by name. Flax stays in this folder: others get a `Network` of pure functions."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from metalearn.errors import UserError
from metalearn.models import zoo
from metalearn.models.cnn import NormalisedCnn, plain_cnn
from metalearn.models.conv4 import Conv4
from metalearn.models.lenet import Bottleneck, LeNet
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
    "cnn": plain_cnn,
    "cnn-bn": lambda **kw: NormalisedCnn(**kw),
    "lenet": lambda **kw: LeNet(**kw),
    "bottleneck": lambda **kw: Bottleneck(**kw),  # of another body's features
}

WITHOUT_NORM = ("cnn",)  # backbones without normalisation layers, for norm="none" alone


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
    """The same network with features averaged over each image and its mirror image."""

    def apply(
        params: PyTree, x: Array, moments: PyTree | None = None, key: Key | None = None
    ) -> Array:
        z = network.apply(params, x, moments, key)
        return (z + network.apply(params, x[:, :, ::-1], moments, key)) / 2

    # Without `prepare`: an image prepared for the first layer cannot be mirrored any more
    return Network(network.init, apply, network.moments)


# Initial kernels by name; None for each network's own.
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
    """A backbone by name: images [B,H,W,Ch] -> features [B,D], or a map [B,H,W,F] of some.

    Args:
      name: key of `BACKBONES`, or of `metalearn.models.zoo.BODIES`.
      norm: kind of `Norm` inside.
      dtype: of the convolutions' inputs; parameters and sums stay float32.
      shared: faster for learners that do not adapt the body, slower for those that do: see
        `metalearn.models.conv`.
      initial: initial kernels, a key of `INITIALIZERS`; those of `zoo.BODIES` have their own.

    Raises:
      UserError: unknown name, norm or initial weights.

    Example: a narrow Conv4 has 2 x 2 places of 8 filters left of images of 32 pixels.

        >>> import jax, jax.numpy as jnp
        >>> from metalearn.models import make_network
        >>> network = make_network("conv4-8")
        >>> images = jnp.zeros((3, 32, 32, 3))
        >>> params = network.init(jax.random.key(0), images)
        >>> network.apply(params, images).shape
        (3, 32)
    """
    if norm not in KINDS:
        raise UserError(f"unknown normalisation '{norm}': choose one of {', '.join(KINDS)}")
    if is_pretrained(name):
        return _pretrained(name, norm, dtype)
    if name not in BACKBONES:
        known = ", ".join([*BACKBONES, *zoo.BODIES])
        raise UserError(f"unknown backbone '{name}': choose one of {known}")
    kernel_init = _kernel_init(initial)
    return as_network(
        BACKBONES[name](norm=norm, dtype=dtype, shared=shared, kernel_init=kernel_init)
    )


def is_pretrained(name: str) -> bool:
    """Whether there are published weights for a backbone, see `metalearn.models.zoo`."""
    return name in zoo.BODIES


def _pretrained(name: str, norm: str, dtype: jnp.dtype) -> Network:
    """The network of a pre-trained body, which has normalisation layers of its own."""
    if norm != "batch":
        raise UserError(f"{name} has normalisation layers of its own: --norm={norm} is not for it")
    network = zoo.make_body(name).network

    def apply(
        params: PyTree, x: Array, moments: PyTree | None = None, key: Key | None = None
    ) -> Array:
        return network.apply(params, x.astype(dtype), moments, key).astype(jnp.float32)

    return network._replace(apply=apply)


def _kernel_init(initial: str) -> nn.initializers.Initializer | None:
    if initial not in INITIALIZERS:
        raise UserError(
            f"unknown initial weights '{initial}': choose one of {', '.join(INITIALIZERS)}"
        )
    return INITIALIZERS[initial]


def flattened(network: Network) -> Network:
    """The same network with maps [B,H,W,F] flattened to features [B,D].

    Every head takes these but that of relation networks.
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
    """The relation module, which compares feature maps; see `Relation`.

    Args:
      width: filters of its convolutions.
      dtype: of the convolutions' inputs.
      shared: see `metalearn.models.conv`.
      initial: initial kernels, a key of `INITIALIZERS`.

    Raises:
      UserError: unknown initial weights.
    """
    return as_network(
        Relation(width, dtype=dtype, shared=shared, kernel_init=_kernel_init(initial))
    )
