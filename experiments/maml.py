"""MAML and the other methods with an inner loop: `python -m experiments.maml --method=reptile --dataset=cifar_fs`."""

from experiments.program import program

METHODS = (
    "maml",
    "fomaml",
    "anil",
    "boil",
    "reptile",
    "meta_sgd",
    "maml++",
    "imaml",
    "cavia",
    "proto_maml",
    "unicorn_maml",
)

if __name__ == "__main__":
    program("experiments.maml", "maml", METHODS)
