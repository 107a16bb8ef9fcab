"""What is timed, given to every contender in the same form; tensors on which all must agree.

Only NumPy is needed here: the peers' environment holds nothing of ours.
"""

import os
from typing import Any, NamedTuple

import numpy as np

Arrays = dict[str, np.ndarray]
CHANNELS, BLOCKS = 3, 4


class Work(NamedTuple):
    """One unit of work: an outer step on T tasks, or (method `evaluation`) a test on all episodes.

    The network is Conv4 with max-pooling and batch moments: its kernels carry no bias, which the
    moments would cancel. Adam at 1e-3 makes the outer steps. Images are random bytes: no time
    depends on what they show.
    """

    method: str = "maml"  # maml (second order), protonet, evaluation (of these), or backbone
    ways: int = 5
    shots: int = 1
    queries: int = 15  # a class
    tasks: int = 4
    inner_steps: int = 5
    inner_lr: float = 0.01
    width: int = 32  # filters a layer
    side: int = 32  # pixels
    classes: int = 64  # of the split that episodes are drawn from; 64 x 600 as CIFAR-FS
    per_class: int = 600
    episodes: int = 0  # of an evaluation
    precision: str = "float32"  # float32, tf32; float64 to compare gradients
    platform: str = "cpu"  # cpu or gpu
    part: str = "embed"  # of a backbone, see `benchmarks.backbone`
    clock: str = "wall"  # or cpu: CPU time on one core


def tiny(work: Work) -> Work:
    """Cut so that every part of it runs within seconds; its times say nothing."""
    small = work._replace(queries=3, width=8, side=16, classes=24, per_class=max(8, work.shots + 3))
    return small._replace(tasks=min(work.tasks, 4), inner_steps=1, episodes=min(work.episodes, 20))


def images(work: Work) -> np.ndarray:
    """The split, uint8 [C,M,H,W,Ch]; mapped from the file that BENCHMARK_IMAGES names, if any."""
    if "BENCHMARK_IMAGES" in os.environ:
        return np.load(os.environ["BENCHMARK_IMAGES"], mmap_mode="r")
    shape = (work.classes, work.per_class, work.side, work.side, CHANNELS)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def example(work: Work) -> Arrays:
    """Parameters, named as ours are, and tasks [T, ...] (or a split and episodes), in float64."""
    rng = np.random.default_rng(1)
    made = _parameters(work, rng)
    if work.method == "evaluation":
        return made | _test(work, rng)
    for kind, count in (("support", work.shots), ("query", work.queries)):
        made[f"{kind}_x"] = rng.normal(
            size=(work.tasks, work.ways * count, work.side, work.side, CHANNELS)
        )
        made[f"{kind}_y"] = np.tile(np.repeat(np.arange(work.ways), count), (work.tasks, 1))
    return made


def _parameters(work: Work, rng: np.random.Generator) -> Arrays:
    made = {}
    channels = CHANNELS
    for i in range(BLOCKS):
        made[f"body/conv{i}"] = (
            rng.normal(size=(3, 3, channels, work.width)) / (9 * channels) ** 0.5
        )
        made[f"body/norm{i}/scale"] = rng.uniform(0.5, 1.5, work.width) * np.resize(
            [-1, 1, 1, 1], work.width
        )
        made[f"body/norm{i}/shift"] = rng.normal(0, 0.1, work.width)
        channels = work.width
    if work.method == "maml":
        made["head/w"] = rng.normal(size=(features(work), work.ways)) / features(work) ** 0.5
        made["head/b"] = rng.normal(0, 0.1, work.ways)
    return made


def _test(work: Work, rng: np.random.Generator) -> Arrays:
    made = {}
    for i in range(BLOCKS):
        made[f"moments/norm{i}/mean"] = rng.normal(0, 0.1, work.width)
        made[f"moments/norm{i}/var"] = rng.uniform(0.2, 0.5, work.width)
    pick = [_episode(work, rng) for _ in range(work.episodes)]
    return made | {
        "images": images(work).reshape(-1, work.side, work.side, CHANNELS),
        "indices": np.stack(pick),
    }


def _episode(work: Work, rng: np.random.Generator) -> np.ndarray:
    classes = rng.choice(work.classes, work.ways, replace=False)
    rows = [rng.choice(work.per_class, work.shots + work.queries, replace=False) for _ in classes]
    return classes[:, None] * work.per_class + np.stack(rows)


def features(work: Work) -> int:
    """D, numbers that the network gives an image."""
    return (work.side // 2**BLOCKS) ** 2 * work.width


def scaled(pixels: Any) -> Any:
    """Bytes to numbers about zero, in arrays of any library; as every contender does it."""
    return pixels / 255 - 0.5


def difference(a: Arrays, b: Arrays) -> float:
    """|a - b| / |b| over all arrays of b taken together.

    Raises:
      KeyError: a lacks one of them.
    """
    apart = sum(np.square(a[k] - v).sum() for k, v in b.items())
    return float(np.sqrt(apart / sum(np.square(v).sum() for v in b.values())))
