"""Photographs embedded by onnxruntime; PyTorch exports the network once, before anything is timed.

The file is BENCHMARK_NETWORK. PyTorch is not imported otherwise: a user's program would not.
"""

import os

import numpy as np
import onnxruntime

from benchmarks._lib.photos import SIDE
from benchmarks.peers.photos_common import Embed, Peer, run


def prepare() -> None:
    """Export the network, for any number of images."""
    import torch

    from benchmarks.peers.photos_torch import network

    image = torch.zeros(2, 3, SIDE, SIDE)
    torch.onnx.export(
        network(),
        image,
        os.environ["BENCHMARK_NETWORK"],
        dynamo=False,
        input_names=["x"],
        output_names=["z"],
        dynamic_axes={"x": {0: "images"}, "z": {0: "images"}},
    )


def open_network() -> Embed:
    """The network, with a thread for every core."""
    options = onnxruntime.SessionOptions()
    if hasattr(os, "sched_getaffinity"):
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
    path = os.environ["BENCHMARK_NETWORK"]
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def embed(x: np.ndarray) -> np.ndarray:
        return session.run(None, {"x": x})[0]

    return embed


if __name__ == "__main__":
    run(Peer(open_network, {"onnxruntime": onnxruntime.__version__}, prepare))
