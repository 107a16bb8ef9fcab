"""Testing a prototypical network in PyTorch: `WORK [once|each]`.

`once` embeds the split once and looks features up, a hundred episodes at a time, as ours does;
`each` passes every episode's images through the network, as published code does.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks._lib.work import BLOCKS, CHANNELS, Arrays, Work, images, scaled
from benchmarks._lib.worker import Contender, serve
from benchmarks.peers.torch_common import conv4, load, of_torch, set_up

BATCH, BLOCK = 512, 100  # images embedded, episodes classified at once


def losses(z: Tensor, work: Work) -> Tensor:
    """Mean loss [E] of episodes from their features [E,N,K+Q,D]."""
    prototypes = z[:, :, : work.shots].mean(2)
    query = z[:, :, work.shots :].flatten(1, 2)
    logits = 2 * query @ prototypes.mT - prototypes.square().sum(2)[:, None]
    labels = (
        torch.arange(work.ways, device=z.device).repeat_interleave(work.queries).expand(len(z), -1)
    )
    return (
        cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        .view(len(z), -1)
        .mean(1)
    )


def whole_split(model: nn.Module, split: Tensor, indices: Tensor, work: Work) -> float:
    """Mean loss over the episodes of a split, whose images are embedded once.

    Args:
      model: the network.
      split: images, uint8 [M,Ch,H,W].
      indices: of the episodes' images [E,N,K+Q].
      work: what is timed.
    """
    z = torch.cat([model(scaled(x)) for x in split.split(BATCH)])
    return float(torch.cat([losses(z[rows], work) for rows in indices.split(BLOCK)]).mean())


def episode_by_episode(model: nn.Module, split: Tensor, indices: Tensor, work: Work) -> float:
    """The same, every image embedded whenever an episode has it.

    Args:
      model, split, indices, work: see `whole_split`.
    """
    found = [
        losses(model(scaled(split[rows.flatten()])).view(1, *rows.shape, -1), work)
        for rows in indices
    ]
    return float(torch.cat(found).mean())


def draw(work: Work) -> np.ndarray:
    """Episodes [E,N,K+Q] at random; drawn beforehand, as ours are."""
    rng = np.random.default_rng(2)
    classes = rng.random((work.episodes, work.classes)).argsort(1)[:, : work.ways]
    ranks = rng.random((work.episodes, work.ways, work.per_class))
    return classes[..., None] * work.per_class + ranks.argsort(2)[..., : work.shots + work.queries]


def set_moments(model: nn.Sequential, given: Arrays) -> None:
    """Give the layers these population moments."""
    for i in range(BLOCKS):
        model[4 * i + 1].running_mean.copy_(torch.from_numpy(given[f"moments/norm{i}/mean"]))
        model[4 * i + 1].running_var.copy_(torch.from_numpy(given[f"moments/norm{i}/var"]))


def make(work: Work, variant: str) -> Contender:
    """See the file."""
    device = set_up(work)
    model = conv4(work, running=True).to(device).eval()
    test: Callable[..., float] = {"once": whole_split, "each": episode_by_episode}[variant]

    def on_device(split: np.ndarray) -> Tensor:
        return (
            torch.from_numpy(split.reshape(-1, work.side, work.side, CHANNELS))
            .permute(0, 3, 1, 2)
            .to(device)
        )

    split = on_device(images(work)).contiguous()
    indices = torch.from_numpy(draw(work)).to(device)

    @torch.inference_mode()
    def steps(count: int) -> float:
        return sum(test(model, split, indices, work) for _ in range(count)) / count

    @torch.inference_mode()
    def compare(given: Arrays) -> Arrays:
        load(model, given, work)
        set_moments(model, given)
        found = test(
            model, on_device(given["images"]), torch.from_numpy(given["indices"]).to(device), work
        )
        return {"loss": np.asarray(found)}

    return of_torch(device, steps, compare, variant=variant)


if __name__ == "__main__":
    serve(make)
