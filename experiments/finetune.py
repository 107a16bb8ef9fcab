"""Supervised pre-training on the base classes, then a head fitted to each task.

`python -m experiments.finetune --method=rfs --dataset=cifar_fs`.
"""

import experiments._cli.begin  # noqa: F401  # first: it may start the program over
from experiments._cli.program import program
from metalearn.learners.registry import PRETRAINED

if __name__ == "__main__":
    program("experiments.finetune", "baseline", tuple(PRETRAINED))
