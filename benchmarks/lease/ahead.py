"""Compiles what a training of CIFAR-FS runs, before its archive is there.

`python -m benchmarks.lease.ahead FLAGS` takes the flags of `experiments.maml`, of the training that
is to come. It trains on random images of the same shapes, for as few steps as its flags say: the
compilation cache then has the programs.
"""

import runpy
import sys

import numpy as np

import metalearn.data
from metalearn.data.source import Dataset, Split

# Of CIFAR-FS's training split, constants in the programs: with others they would be other programs.
MEAN = (0.5087955594062805, 0.49173441529273987, 0.44374072551727295)
STD = (0.2673763334751129, 0.25638341903686523, 0.2772134244441986)
CLASSES = (64, 16, 20)  # of training, validation and test
IMAGES = 600  # of each class


def random_split(rng: np.random.Generator, classes: int) -> Split:
    """So many classes of random pixels."""
    images = rng.integers(0, 256, (classes * IMAGES, 32, 32, 3), np.uint8)
    names = tuple(f"class {i}" for i in range(classes))
    return Split(images, np.full(classes, IMAGES, np.int32), names)


def random_dataset(name: str, *_: object, **__: object) -> Dataset:
    """In place of `metalearn.data.load`."""
    rng = np.random.default_rng(0)
    train, valid, test = (random_split(rng, classes) for classes in CLASSES)
    mean = np.array(MEAN, np.float32)
    std = np.array(STD, np.float32)
    return Dataset(name, train, valid, test, mean, std, digest="random")


if __name__ == "__main__":
    metalearn.data.load = random_dataset  # before a program imports it
    sys.argv = ["experiments.maml", "--dataset=cifar_fs", *sys.argv[1:]]
    runpy.run_module("experiments.maml", run_name="__main__")
