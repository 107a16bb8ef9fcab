"""MAML in plain PyTorch: a loop over tasks, `autograd.grad(..., create_graph=True)` inside."""

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from benchmarks._lib.work import Work
from benchmarks._lib.worker import Contender, serve
from benchmarks.peers.torch_common import contender, conv4, one_by_one, set_up


def make(work: Work) -> Contender:
    """See the file."""
    device = set_up(work)
    model = conv4(work).to(device)

    def task_loss(support_x: Tensor, support_y: Tensor, query_x: Tensor, query_y: Tensor) -> Tensor:
        fast: dict[str, Tensor] = dict(model.named_parameters())
        for _ in range(work.inner_steps):
            loss = cross_entropy(functional_call(model, fast, support_x), support_y)
            grads = torch.autograd.grad(loss, list(fast.values()), create_graph=True)
            fast = {k: p - work.inner_lr * g for (k, p), g in zip(fast.items(), grads, strict=True)}
        return cross_entropy(functional_call(model, fast, query_x), query_y)

    return contender(work, device, model, one_by_one(task_loss))


if __name__ == "__main__":
    serve(make)
