"""MAML by higher (Grefenstette et al. 2019): a differentiable SGD over a patched model."""

from importlib.metadata import version

import higher
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks._lib.work import Work
from benchmarks._lib.worker import Contender, serve
from benchmarks.peers.torch_common import contender, conv4, one_by_one, set_up


def make(work: Work) -> Contender:
    """See the file."""
    device = set_up(work)
    model = conv4(work).to(device)
    inner = torch.optim.SGD(model.parameters(), lr=work.inner_lr)

    def task_loss(support_x: Tensor, support_y: Tensor, query_x: Tensor, query_y: Tensor) -> Tensor:
        with higher.innerloop_ctx(model, inner, copy_initial_weights=False) as (fast, optimizer):
            for _ in range(work.inner_steps):
                optimizer.step(cross_entropy(fast(support_x), support_y))
            return cross_entropy(fast(query_x), query_y)

    return contender(work, device, model, one_by_one(task_loss), higher=version("higher"))


if __name__ == "__main__":
    serve(make)
