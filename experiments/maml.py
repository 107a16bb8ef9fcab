"""MAML and the other methods with an inner loop: `python -m experiments.maml --method=reptile --dataset=cifar_fs`."""

from experiments._cli.program import program
from metalearn.learners.registry import GRADIENT

if __name__ == "__main__":
    program("experiments.maml", "maml", tuple(GRADIENT))
