"""Prototypical networks in PyTorch: `WORK [nchw|channels_last|compile]`.

The words are layouts of memory, or `torch.compile`.

A task's support and queries pass through the network together, as ours do.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks._lib.work import Work
from benchmarks._lib.worker import Contender, serve
from benchmarks.peers.torch_common import contender, conv4, one_by_one, set_up


def make(work: Work, variant: str) -> Contender:
    """See the file."""
    device = set_up(work)
    layout = torch.channels_last if variant == "channels_last" else torch.contiguous_format
    model = conv4(work).to(device, memory_format=layout)
    network: nn.Module = torch.compile(model) if variant == "compile" else model

    def task_loss(support_x: Tensor, support_y: Tensor, query_x: Tensor, query_y: Tensor) -> Tensor:
        z = network(torch.cat([support_x, query_x]).contiguous(memory_format=layout))
        support, query = z.split([len(support_x), len(query_x)])
        prototypes = support.view(work.ways, work.shots, -1).mean(1)
        return cross_entropy(2 * query @ prototypes.T - prototypes.square().sum(1), query_y)

    return contender(work, device, model, one_by_one(task_loss), variant=variant)


if __name__ == "__main__":
    serve(make)
