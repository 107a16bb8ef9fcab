"""EfficientNet-Lite0 in PyTorch: normalisation folded, channels last; embeds, or is fine-tuned.

The network is that of the package `efficientnet-lite-pytorch`.
"""

from collections.abc import Callable

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.fusion import fuse_conv_bn_eval

from benchmarks._lib.lite0 import CHECKED, LAST_BLOCK, RATE, drawn, given
from benchmarks._lib.work import Arrays, Work
from benchmarks._lib.worker import Contender, clock_of, serve
from benchmarks.peers.torch_common import of_torch, set_up

PAIRS = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))


def network() -> nn.Module:
    """Lite0 with drawn weights, without its classifier."""
    model = EfficientNet.from_name("efficientnet-lite0").eval()
    arrays = {
        name: torch.from_numpy(drawn(name, tuple(value.shape)))
        for name, value in model.state_dict().items()
        if not name.endswith("num_batches_tracked") and not name.startswith("_fc")
    }
    model.load_state_dict(arrays, strict=False)
    return folded(model)


def folded(model: nn.Module) -> nn.Module:
    """The network with normalisation moved into its kernels, channels last."""
    _fold(model, "_conv_stem", "_bn0")
    _fold(model, "_conv_head", "_bn1")
    for block in model._blocks:
        for conv, norm in PAIRS:
            if hasattr(block, conv):
                _fold(block, conv, norm)
    return model.to(memory_format=torch.channels_last)


def _fold(module: nn.Module, conv: str, norm: str) -> None:
    fused = fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm))
    setattr(module, conv, fused)
    setattr(module, norm, nn.Identity())


class Part(nn.Module):
    """Images, or what the last block is given, to features."""

    def __init__(self, model: nn.Module, part: str = "whole") -> None:
        """Take the model, or its last block and what follows, behind frozen stages or not."""
        super().__init__()
        stem = (model._conv_stem, model._swish)
        (before, last) = (model._blocks[:LAST_BLOCK], model._blocks[LAST_BLOCK:])
        frozen = {"last": (), "behind": (*stem, *before)}
        trained = {"last": last, "behind": last}
        self.frozen = nn.Sequential(*frozen.get(part, ())).requires_grad_(False)
        self.blocks = nn.Sequential(*trained.get(part, (*stem, *model._blocks)))
        self.after = nn.Sequential(model._conv_head, model._swish)

    def forward(self, x: Tensor) -> Tensor:
        """The features [B,1280]."""
        return self.after(self.blocks(self.frozen(x))).mean((2, 3))

    def trained(self) -> list[nn.Parameter]:
        """The parameters that a step changes."""
        return [*self.blocks.parameters(), *self.after.parameters()]


def inputs(work: Work) -> tuple[Tensor, Tensor, nn.Linear]:
    """Images in the network's layout, labels, head."""
    found = given(work)
    x = torch.from_numpy(found["x"]).permute(0, 3, 1, 2)
    head = nn.Linear(*found["kernel"].shape)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(found["kernel"].T.copy()))
        head.bias.copy_(torch.from_numpy(found["bias"]))
    return x.contiguous(memory_format=torch.channels_last), torch.from_numpy(found["y"]), head


def make(work: Work) -> Contender:
    """See the file."""
    clock = clock_of(work)
    device = set_up(work)
    model = Part(network(), work.part)
    (x, y, head) = inputs(work)
    embed, step = embedding(model, x), tuning(model, head, x, y)

    def steps(count: int) -> float:
        found = [embed() if work.part == "embed" else step() for _ in range(count)]
        return float(found[-1].mean())

    def compare(_: Arrays) -> Arrays:
        if work.part == "embed":
            return {"features": embed().numpy()}
        return {"losses": np.array([step() for _ in range(CHECKED)])}

    return of_torch(device, steps, compare)._replace(clock=clock)


def embedding(model: Part, x: Tensor) -> Callable[[], Tensor]:
    """Embeds the images."""

    @torch.inference_mode()
    def embed() -> Tensor:
        return model(x)

    return embed


def tuning(model: Part, head: nn.Linear, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
    """Makes a step of gradient descent; returns the loss before it.

    Args:
      model: the trained part.
      head: the classifier.
      x: images, or what the last block is given.
      y: labels.
    """
    optimizer = torch.optim.SGD([*model.trained(), *head.parameters()], RATE)

    def step() -> Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(head(model(x)), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


if __name__ == "__main__":
    serve(make)
