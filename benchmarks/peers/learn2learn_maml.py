"""MAML by learn2learn (Arnold et al. 2020): `MAML(model).clone().adapt(loss)`.

Its last release, 0.2.0, is source alone, and importing the package needs compiled data sets, gym
and torchvision. None of that is timed: `setup.sh` unpacks the source, and the file of its MAML is
imported here without the package's `__init__`. The code that runs is the release's own.
"""

import sys
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks._lib.work import Work
from benchmarks._lib.worker import Contender, serve
from benchmarks.peers.torch_common import contender, conv4, one_by_one, set_up


def find_maml() -> type:
    """The class `learn2learn.algorithms.maml.MAML`."""
    spec = PathFinder.find_spec("learn2learn")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'learn2learn'")
    root = Path(spec.origin).parent
    for name, folder in (("learn2learn", root), ("learn2learn.algorithms", root / "algorithms")):
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    return import_module("learn2learn.algorithms.maml").MAML


def make(work: Work) -> Contender:
    """See the file."""
    device = set_up(work)
    model = conv4(work).to(device)
    maml = find_maml()(model, lr=work.inner_lr, first_order=False)

    def task_loss(support_x: Tensor, support_y: Tensor, query_x: Tensor, query_y: Tensor) -> Tensor:
        learner = maml.clone()
        for _ in range(work.inner_steps):
            learner.adapt(cross_entropy(learner(support_x), support_y))
        return cross_entropy(learner(query_x), query_y)

    return contender(work, device, model, one_by_one(task_loss), learn2learn="0.2.0")


if __name__ == "__main__":
    serve(make)
