"""MAML with `torch.func`: gradients of functions, `vmap` over tasks."""

from torch import Tensor
from torch.func import functional_call, grad, grad_and_value, vmap
from torch.nn.functional import cross_entropy

from benchmarks.peers.torch_common import Batch, contender, conv4, set_up
from benchmarks.work import Work
from benchmarks.worker import Contender, serve


def make(work: Work) -> Contender:
    """See the file."""
    device = set_up(work)
    model = conv4(work).to(device)

    def loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(functional_call(model, params, x), y)

    def task_loss(fast: dict[str, Tensor], sx: Tensor, sy: Tensor, qx: Tensor, qy: Tensor) -> Tensor:
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
