"""EfficientNet-Lite0 in onnxruntime, which only embeds; PyTorch exports it, folded."""

import os
import tempfile
from pathlib import Path

import onnxruntime
import torch

from benchmarks._lib.lite0 import given
from benchmarks._lib.work import Arrays, Work
from benchmarks._lib.worker import Contender, clock_of, serve
from benchmarks.peers.lite0_torch import Part, network
from benchmarks.peers.torch_common import peaks


def session(work: Work) -> onnxruntime.InferenceSession:
    """The network for these images, with a thread for every core."""
    image = torch.zeros(work.tasks, 3, work.side, work.side)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lite0.onnx"
        model = Part(network())
        torch.onnx.export(model, image, str(path), dynamo=False, input_names=["x"])
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def make(work: Work) -> Contender:
    """See the file."""
    if work.part != "embed":
        raise NotImplementedError("onnxruntime does not train")
    clock = clock_of(work)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    run = session(work)
    x = given(work)["x"].transpose(0, 3, 1, 2).copy()

    def steps(count: int) -> float:
        for _ in range(count):
            (z,) = run.run(None, {"x": x})
        return float(z.mean())

    def compare(_: Arrays) -> Arrays:
        return {"features": run.run(None, {"x": x})[0]}

    about = {"onnxruntime": onnxruntime.__version__, "torch": torch.__version__}
    return Contender(about, steps, compare, lambda size: peaks(size, "cpu"), None, clock)


if __name__ == "__main__":
    serve(make)
