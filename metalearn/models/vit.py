"""ViT-S/16 (Dosovitskiy et al. 2021; Steiner et al. 2022) and DINOv2-S/14 (Oquab et al. 2024).

Images [B,224,224,3] -> features [B,384], the token of the image. Published weights come under the
names of timm, which those of DINOv2's own repository are too, and of transformers. Those of ViT are
for inputs in -1..1, those of DINOv2 for ImageNet's statistics; so are DeiT-S/16 (Touvron et al.
2021) and DINO's ViT-S/16 (Caron et al. 2021), whose files nothing else tells from ViT's: they are a
body of another name, which the user gives. DINOv2 learned positions of 37 x 37
patches (518 pixels); at other sizes they are interpolated, as transformers does.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from metalearn.models.entries import PARAMS, Entry, Place, as_is, classifier, dense, kernel_of_torch
from metalearn.models.image_inputs import IMAGENET_MEAN, IMAGENET_STD, square
from metalearn.models.layouts import Family, Layout
from metalearn.models.transformer import Size, network
from metalearn.types import InputSpec

ABOUT_ZERO = square(224, (127.5,) * 3, (127.5,) * 3, resize="bicubic")
OF_IMAGENET = square(224, IMAGENET_MEAN, IMAGENET_STD, resize="bicubic")
VIT_S16 = Size(blocks=12, width=384, heads=6, patch=16, grid=14)
DINOV2_S14 = Size(blocks=12, width=384, heads=6, patch=14, grid=37, gains=1e-5)


def _flat(array: np.ndarray) -> np.ndarray:
    """[1,1,D] as [D]."""
    return array.reshape(-1)


def _first(array: np.ndarray) -> np.ndarray:
    """[1,N,D] as [N,D]."""
    return array[0]


def _joined_kernels(*arrays: np.ndarray) -> np.ndarray:
    """Matrices [out,in] of PyTorch side by side."""
    return np.concatenate([array.T for array in arrays], 1)


def _joined(*arrays: np.ndarray) -> np.ndarray:
    return np.concatenate(arrays)


def _norm(path: Place, name: str) -> Iterator[Entry]:
    yield Entry(PARAMS, (*path, "scale"), (f"{name}.weight",), as_is)
    yield Entry(PARAMS, (*path, "shift"), (f"{name}.bias",), as_is)


def _stem(image: str, position: str, patches: str) -> Iterator[Entry]:
    yield Entry(PARAMS, ("stem", "image"), (image,), _flat)
    yield Entry(PARAMS, ("stem", "position"), (position,), _first)
    yield Entry(PARAMS, ("stem", "kernel"), (f"{patches}.weight",), kernel_of_torch)
    yield Entry(PARAMS, ("stem", "bias"), (f"{patches}.bias",), as_is)


def timm(size: Size) -> Iterator[Entry]:
    """Names of timm."""
    yield from _stem("cls_token", "pos_embed", "patch_embed.proj")
    for i in range(size.blocks):
        path = (f"block{i + 1}",)
        name = f"blocks.{i}."
        for k in (1, 2):
            yield from _norm((*path, f"norm{k}"), f"{name}norm{k}")
            yield from dense((*path, f"mlp{k}"), f"{name}mlp.fc{k}")
            if size.gains:
                yield Entry(PARAMS, (*path, f"gain{k}"), (f"{name}ls{k}.gamma",), as_is)
        yield from dense((*path, "qkv"), f"{name}attn.qkv")
        yield from dense((*path, "out"), f"{name}attn.proj")
    yield from _norm(("final", "norm"), "norm")
    if not size.gains:
        yield from classifier("head")


def transformers(size: Size) -> Iterator[Entry]:
    """Names of transformers, which differ between ViT and DINOv2."""
    yield from _stem(
        "embeddings.cls_token",
        "embeddings.position_embeddings",
        "embeddings.patch_embeddings.projection",
    )
    norms = ("norm1", "norm2") if size.gains else ("layernorm_before", "layernorm_after")
    mlps = ("mlp.fc1", "mlp.fc2") if size.gains else ("intermediate.dense", "output.dense")
    for i in range(size.blocks):
        path = (f"block{i + 1}",)
        name = f"encoder.layer.{i}."
        for k in (1, 2):
            yield from _norm((*path, f"norm{k}"), name + norms[k - 1])
            yield from dense((*path, f"mlp{k}"), name + mlps[k - 1])
            if size.gains:
                gain = f"{name}layer_scale{k}.lambda1"
                yield Entry(PARAMS, (*path, f"gain{k}"), (gain,), as_is)
        three = [f"{name}attention.attention.{part}" for part in ("query", "key", "value")]
        kernels = tuple(f"{part}.weight" for part in three)
        biases = tuple(f"{part}.bias" for part in three)
        yield Entry(PARAMS, (*path, "qkv", "kernel"), kernels, _joined_kernels)
        yield Entry(PARAMS, (*path, "qkv", "bias"), biases, _joined)
        yield from dense((*path, "out"), f"{name}attention.output.dense")
    yield from _norm(("final", "norm"), "layernorm")
    if not size.gains:
        yield from classifier("classifier")


def vit(inputs: InputSpec = ABOUT_ZERO) -> Family:
    """ViT-S/16 as timm computes it, and its files; for images like these."""
    layout = Layout("timm", tuple(timm(VIT_S16)), inputs)
    return Family(partial(network, VIT_S16), (layout,))


def vit_of_transformers(inputs: InputSpec = ABOUT_ZERO) -> Family:
    """ViT-S/16 as transformers computes it: less is added to variances; for images like these."""
    names = tuple(transformers(VIT_S16))
    ignored = r"^(vit\.)?pooler\."
    layout = Layout("transformers", names, inputs, prefix="vit.", ignored=ignored)
    return Family(partial(network, VIT_S16, eps=1e-12), (layout,))


def dinov2() -> Family:
    """DINOv2-S/14 and its files."""
    return Family(
        partial(network, DINOV2_S14),
        (
            Layout("timm or DINOv2", tuple(timm(DINOV2_S14)), OF_IMAGENET, ignored="^mask_token$"),
            Layout(
                "transformers",
                tuple(transformers(DINOV2_S14)),
                OF_IMAGENET,
                prefix="dinov2.",
                ignored=r"(mask_token$|^classifier\.)",
            ),
        ),
    )
