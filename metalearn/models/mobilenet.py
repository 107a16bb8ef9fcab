"""MobileNetV2 (Sandler et al. 2018), of width 1; images [B,H,W,3] -> features [B,1280].

Three libraries' files are read. torchvision and timm pad as PyTorch does and standardise by
ImageNet's statistics; transformers has Google's own weights, padded as TensorFlow does, for inputs
in -1..1 and 1,001 classes, of which the first is the background. That is another network, and a
family of its own. Deviation: there is no dropout before the classifier in training.
"""

from collections.abc import Iterator
from functools import partial

from metalearn.models.bottleneck import Stage, Style, build
from metalearn.models.entries import Entry, Place, classifier, conv_norm
from metalearn.models.image_inputs import IMAGENET_MEAN, IMAGENET_STD, square
from metalearn.models.layouts import Family, Layout
from metalearn.models.staged import Staged

STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(3, 3, 2, 6, 32),
    Stage(4, 3, 2, 6, 64),
    Stage(3, 3, 1, 6, 96),
    Stage(3, 3, 2, 6, 160),
    Stage(1, 3, 1, 6, 320),
)
PYTORCH = Style(eps=1e-5, same=False)
TENSORFLOW = Style(eps=1e-3, same=True)


def network(style: Style = PYTORCH) -> Staged:
    """The network: `stem`, `stage1` to `stage7`, `final`."""
    return build(STAGES, style)


def _blocks() -> Iterator[tuple[int, int, int, Place]]:
    """Stage and place within it of every block, its place among all, and its path."""
    position = 0
    for i, stage in enumerate(STAGES):
        for j in range(stage.blocks):
            yield i, j, position, (f"stage{i + 1}", f"block{j}")
            position += 1


def torchvision() -> Iterator[Entry]:
    """Names of torchvision: every layer by its number."""
    yield from conv_norm(("stem", "conv"), "features.0.0", "features.0.1")
    for _, _, position, path in _blocks():
        name = f"features.{position + 1}.conv."
        layers = ("expand", "depthwise") if position else ("depthwise",)
        for k, layer in enumerate(layers):
            yield from conv_norm((*path, layer), f"{name}{k}.0", f"{name}{k}.1")
        last = len(layers)
        yield from conv_norm((*path, "project"), f"{name}{last}", f"{name}{last + 1}")
    yield from conv_norm(("final", "conv"), "features.18.0", "features.18.1")
    yield from classifier("classifier.1")


def timm() -> Iterator[Entry]:
    """Names of timm."""
    yield from conv_norm(("stem", "conv"), "conv_stem", "bn1")
    for i, j, position, path in _blocks():
        name = f"blocks.{i}.{j}."
        convolutions = ("conv_pw", "conv_dw", "conv_pwl") if position else ("conv_dw", "conv_pw")
        layers = ("expand", "depthwise", "project")[-len(convolutions) :]
        for k, (layer, conv) in enumerate(zip(layers, convolutions, strict=True)):
            yield from conv_norm((*path, layer), f"{name}{conv}", f"{name}bn{k + 1}")
    yield from conv_norm(("final", "conv"), "conv_head", "bn2")
    yield from classifier("classifier")


def transformers() -> Iterator[Entry]:
    """Names of transformers: the first block belongs to the stem there."""

    def layer(path: Place, name: str) -> Iterator[Entry]:
        return conv_norm(path, f"{name}.convolution", f"{name}.normalization")

    yield from layer(("stem", "conv"), "conv_stem.first_conv")
    for _, _, position, path in _blocks():
        name = f"layer.{position - 1}" if position else "conv_stem"
        if position:
            yield from layer((*path, "expand"), f"{name}.expand_1x1")
        yield from layer((*path, "depthwise"), f"{name}.conv_3x3")
        yield from layer((*path, "project"), f"{name}.reduce_1x1")
    yield from layer(("final", "conv"), "conv_1x1")
    yield from classifier("classifier")


def family() -> Family:
    """MobileNetV2 as PyTorch computes it, and its files."""
    usual = square(224, IMAGENET_MEAN, IMAGENET_STD)
    return Family(
        network,
        (
            Layout("torchvision", tuple(torchvision()), usual),
            Layout("timm", tuple(timm()), usual._replace(resize="bicubic")),
        ),
    )


def family_of_transformers() -> Family:
    """MobileNetV2 as TensorFlow computes it, and its files."""
    inputs = square(224, (127.5,) * 3, (127.5,) * 3)
    names = tuple(transformers())
    layout = Layout("transformers", names, inputs, prefix="mobilenet_v2.")
    return Family(partial(network, TENSORFLOW), (layout,))
