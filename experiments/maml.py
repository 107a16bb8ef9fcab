"""MAML and the other methods with an inner loop.

`python -m experiments.maml --method=reptile --dataset=cifar_fs`.
"""

import experiments._cli.begin  # noqa: F401  # first: it may start the program over
from experiments._cli.program import program
from metalearn.learners.registry import GRADIENT

if __name__ == "__main__":
    program("experiments.maml", "maml", tuple(GRADIENT))
