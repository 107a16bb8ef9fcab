"""What contenders of `benchmarks.backbone` are given: drawn weights and images, the same for all.

NumPy only. No time depends on what the weights are, as long as numbers stay of usual size.
"""

import zlib

import numpy as np

from benchmarks._lib.work import CHANNELS, Arrays, Work

CLASSES = 5  # that fine-tuning tells apart
RATE = 1e-3  # of its gradient descent
CHECKED = 2  # its steps whose losses are compared
LAST = "stage7"  # where the last block begins; its input is cached
LAST_BLOCK = 15  # the same, as efficientnet-lite-pytorch counts
LAST_WIDTH = 192  # channels of its input
WIDTH = 1280  # features


def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """An array of the network by its name and shape in `efficientnet-lite-pytorch`, float32."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if len(shape) == 4:
        fan_in = shape[1] * shape[2] * shape[3]
        values = rng.normal(0, (2 / fan_in) ** 0.5, shape)
    elif name.endswith("running_var"):
        values = rng.uniform(0.5, 1.5, shape)
    elif name.endswith("weight"):
        values = rng.uniform(0.7, 1.3, shape)
    else:
        values = rng.normal(0, 0.1, shape)
    return values.astype(np.float32)


def given(work: Work) -> Arrays:
    """Images `x` [B,side,side,3], or what the last block is given, labels `y` [B], and a head."""
    rng = np.random.default_rng(0)
    side = -(-work.side // 32) if work.part == "last" else work.side
    channels = LAST_WIDTH if work.part == "last" else CHANNELS
    return {
        "x": rng.normal(size=(work.tasks, side, side, channels)).astype(np.float32),
        "y": np.arange(work.tasks) % CLASSES,
        "kernel": (rng.normal(size=(WIDTH, CLASSES)) / WIDTH**0.5).astype(np.float32),
        "bias": np.zeros(CLASSES, np.float32),
    }
