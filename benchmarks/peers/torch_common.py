"""What the peers in PyTorch share: the network, fresh episodes on the device, our names.

Tuned as its users would: the split lies on the device, no step waits for the host, cuDNN picks its
algorithms.
"""

import os
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks._lib.work import BLOCKS, CHANNELS, Arrays, Work, features, images, scaled
from benchmarks._lib.worker import Contender, best_seconds

# support_x [T,S,Ch,H,W], support_y [T,S], query_x, query_y
Batch = tuple[Tensor, Tensor, Tensor, Tensor]
Backward = Callable[[Batch], Tensor]  # mean loss of a batch; leaves its gradient in the parameters


def set_up(work: Work) -> str:
    """Threads and precision; the device to use."""
    if work.precision not in ("float32", "tf32", "float64"):
        raise ValueError(f"no peer is written for {work.precision}")
    if hasattr(os, "sched_getaffinity"):
        torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64 if work.precision == "float64" else torch.float32)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = (
        work.precision == "tf32"
    )
    if work.platform == "cpu":
        return "cpu"
    if not torch.cuda.is_available():
        raise RuntimeError("this PyTorch finds no GPU")
    return "cuda"


def conv4(work: Work, running: bool = False) -> nn.Sequential:
    """Conv4 with max-pooling; a linear head for MAML.

    `running` keeps population moments for the test.
    """
    layers: list[nn.Module] = []
    channels = CHANNELS
    for _ in range(BLOCKS):
        norm = nn.BatchNorm2d(work.width, track_running_stats=running)
        layers += [
            nn.Conv2d(channels, work.width, 3, padding=1, bias=False),
            norm,
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
        channels = work.width
    layers.append(nn.Flatten())
    if work.method == "maml":
        layers.append(nn.Linear(features(work), work.ways))
    return nn.Sequential(*layers)


def parameters(model: nn.Sequential) -> Iterator[tuple[str, nn.Parameter]]:
    """Every parameter with the name that ours has."""
    for i in range(BLOCKS):
        yield f"body/conv{i}", model[4 * i].weight
        yield f"body/norm{i}/scale", model[4 * i + 1].weight
        yield f"body/norm{i}/shift", model[4 * i + 1].bias
    if isinstance(model[-1], nn.Linear):
        yield "head/w", model[-1].weight
        yield "head/b", model[-1].bias


def to_theirs(name: str, ours: np.ndarray, work: Work) -> np.ndarray:
    """A kernel [3,3,Ch,F] as [F,Ch,3,3]; the head's [D,N] with features by channel and place.

    Ours are by place and channel.
    """
    if "conv" in name:
        return ours.transpose(3, 2, 0, 1)
    if name == "head/w":
        return ours.reshape(-1, work.width, work.ways).transpose(2, 1, 0).reshape(work.ways, -1)
    return ours


def to_ours(name: str, theirs: np.ndarray, work: Work) -> np.ndarray:
    """The way back."""
    if "conv" in name:
        return theirs.transpose(2, 3, 1, 0)
    if name == "head/w":
        return theirs.reshape(work.ways, work.width, -1).transpose(2, 1, 0).reshape(-1, work.ways)
    return theirs


def load(model: nn.Sequential, given: Arrays, work: Work) -> None:
    """Give the model these parameters."""
    with torch.no_grad():
        for name, parameter in parameters(model):
            parameter.copy_(torch.from_numpy(to_theirs(name, given[name], work).copy()))


def sampler(work: Work, device: str) -> Callable[[], Batch]:
    """Draws fresh tasks from the split on the device."""
    split = torch.from_numpy(images(work)).permute(0, 1, 4, 2, 3).contiguous().to(device)
    labels = torch.arange(work.ways, device=device)
    shape = (work.tasks, -1, CHANNELS, work.side, work.side)

    def draw() -> Batch:
        classes = torch.rand(work.tasks, work.classes, device=device).topk(work.ways).indices
        ranks = torch.rand(work.tasks, work.ways, work.per_class, device=device)
        x = split[classes[:, :, None], ranks.topk(work.shots + work.queries).indices]
        support = scaled(x[:, :, : work.shots])
        query = scaled(x[:, :, work.shots :])
        ys = (
            labels.repeat_interleave(count).repeat(work.tasks, 1)
            for count in (work.shots, work.queries)
        )
        support_y, query_y = ys
        return support.reshape(shape), support_y, query.reshape(shape), query_y

    return draw


def given_batch(given: Arrays, device: str) -> Batch:
    """The tasks of an example."""

    def x(a: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(a.transpose(0, 1, 4, 2, 3).copy()).to(device)

    y = torch.from_numpy
    support_y = y(given["support_y"]).to(device)
    query_y = y(given["query_y"]).to(device)
    return x(given["support_x"]), support_y, x(given["query_x"]), query_y


def one_by_one(task_loss: Callable[..., Tensor]) -> Backward:
    """Mean loss of a batch from that of one task.

    Task after task, so that memory holds one graph.
    """

    def backward(batch: Batch) -> Tensor:
        total = torch.zeros((), device=batch[0].device)
        for task in zip(*batch, strict=True):
            loss = task_loss(*task) / len(batch[0])
            loss.backward()
            total += loss.detach()
        return total

    return backward


def contender(
    work: Work, device: str, model: nn.Sequential, backward: Backward, **about: object
) -> Contender:
    """Training with Adam on what `backward` leaves in the model's parameters.

    Args:
      work: what is timed.
      device: of PyTorch.
      model: the network.
      backward: makes the meta-gradient of a batch of tasks, and returns the loss.
      about: what the contender says of itself.
    """
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    draw = sampler(work, device)

    def steps(count: int) -> float:
        total = torch.zeros((), device=device)
        for _ in range(count):
            optimizer.zero_grad()
            total += backward(draw())
            optimizer.step()
        return float(total) / count  # waits

    def gradient(given: Arrays) -> Arrays:
        load(model, given, work)
        optimizer.zero_grad()
        loss = backward(given_batch(given, device))
        grads = {name: to_ours(name, p.grad.cpu().numpy(), work) for name, p in parameters(model)}
        return {"loss": loss.cpu().numpy()} | grads

    return of_torch(device, steps, gradient, **about)


def of_torch(
    device: str,
    steps: Callable[[int], float],
    gradient: Callable[[Arrays], Arrays],
    **about: object,
) -> Contender:
    """A contender with PyTorch's version, peaks and memory.

    It gives unused memory back after every turn.
    """

    def turn(count: int) -> float:
        loss = steps(count)
        torch.cuda.empty_cache()
        return loss

    def memory() -> float:
        return torch.cuda.max_memory_allocated() / 2**20

    versions = {"torch": torch.__version__} | about
    return Contender(
        versions,
        turn,
        gradient,
        lambda size: peaks(size, device),
        None if device == "cpu" else memory,
    )


def peaks(size: int, device: str) -> tuple[float, float]:
    """FLOP/s of a square matrix product, bytes/s (read and written) of a copy."""
    a = torch.ones(size, size, device=device)
    out = torch.empty(size, size, device=device)

    def wait(run: Callable[[], object]) -> float:
        return best_seconds(lambda: (run(), device == "cpu" or torch.cuda.synchronize()))

    seconds = wait(lambda: torch.mm(a, a, out=out))
    return 2 * size**3 / seconds, 2 * a.nbytes / wait(lambda: torch.add(a, 1, out=out))
