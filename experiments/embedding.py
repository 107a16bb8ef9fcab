"""Methods that train the body through a head fitted to each task.

`python -m experiments.embedding --method=r2d2 --dataset=cifar_fs`.
"""

import experiments._cli.begin  # noqa: F401  # first: it may start the program over
from experiments._cli.program import program
from metalearn.learners.registry import EMBEDDING

if __name__ == "__main__":
    program("experiments.embedding", "protonet", tuple(EMBEDDING))
