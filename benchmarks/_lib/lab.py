"""Work as settings, a dataset and a training of ours."""

import math

import jax
import numpy as np

from benchmarks._lib.work import Work, images
from metalearn.config import Config
from metalearn.data.source import Dataset, Split
from metalearn.training.assemble import Training, assemble
from metalearn.training.lab import Lab, make_lab


def config_of(work: Work) -> Config:
    """The settings of a run that does this work."""
    return Config(
        method="maml" if work.method == "maml" else "protonet",
        backbone=f"conv4-{work.width}",
        norm="batch" if work.method == "maml" else "running",
        ways=work.ways,
        shots=work.shots,
        train_queries=work.queries,
        meta_batch=work.tasks,
        inner_lr=work.inner_lr,
        inner_steps=work.inner_steps,
        precision=work.precision,
    ).with_defaults()


def dataset_of(work: Work) -> Dataset:
    """The work's images as a dataset whose three splits are all of them."""
    pixels = images(work)
    counts = np.full(work.classes, work.per_class, np.int32)
    names = tuple(f"class {i}" for i in range(work.classes))
    split = Split(pixels.reshape(-1, *pixels.shape[2:]), counts, names)
    half = np.full(pixels.shape[-1], 0.5, np.float32)
    one = np.ones(pixels.shape[-1], np.float32)
    return Dataset("random bytes", split, split, split, half, one)


def lab_of(work: Work, devices: int | None = None, stream: bool = False) -> Lab:
    """The dataset on so many devices [all that share out the tasks evenly], or streamed there."""
    used = devices or math.gcd(work.tasks, len(jax.devices()))
    return make_lab(dataset_of(work), used, stream=stream)


def training(work: Work, devices: int | None = None, stream: bool = False) -> Training:
    """The training that does this work, on so many devices and from where `lab_of` has images."""
    return assemble(config_of(work), lab_of(work, devices, stream))
