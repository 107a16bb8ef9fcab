"""MAML with `torch.func`: gradients of functions, `vmap` over tasks.

Batch normalisation is written out: with `nn.BatchNorm2d`, PyTorch 2.13's `grad` of a `grad` gives
second derivatives that are wrong by up to a part in a hundred, where its plain autograd gives the
right ones.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value, vmap
from torch.nn.functional import cross_entropy

from benchmarks._lib.work import BLOCKS, Work
from benchmarks._lib.worker import Contender, serve
from benchmarks.peers.torch_common import Batch, contender, conv4, set_up


class BatchNorm(nn.Module):
    """Moments of the batch at hand, scale and shift."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """x [B,F,H,W]."""
        var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        scale = self.weight * (var + 1e-5).rsqrt()
        return x * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]


def make(work: Work) -> Contender:
    """See the file."""
    device = set_up(work)
    model = conv4(work)
    for i in range(BLOCKS):
        model[4 * i + 1] = BatchNorm(work.width)
    model.to(device)

    def loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(functional_call(model, params, x), y)

    def task_loss(
        fast: dict[str, Tensor], sx: Tensor, sy: Tensor, qx: Tensor, qy: Tensor
    ) -> Tensor:
        for _ in range(work.inner_steps):
            grads = grad(loss)(fast, sx, sy)
            fast = {k: fast[k] - work.inner_lr * grads[k] for k in fast}
        return loss(fast, qx, qy)

    def mean_loss(params: dict[str, Tensor], *batch: Tensor) -> Tensor:
        return vmap(task_loss, (None, 0, 0, 0, 0))(params, *batch).mean()

    def backward(batch: Batch) -> Tensor:
        params = {k: p.detach() for k, p in model.named_parameters()}
        grads, value = grad_and_value(mean_loss)(params, *batch)
        for k, p in model.named_parameters():
            p.grad = grads[k]
        return value.detach()

    return contender(work, device, model, backward)


if __name__ == "__main__":
    serve(make)
