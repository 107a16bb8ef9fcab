"""Methods that train the body through a head: `python -m experiments.embedding --method=r2d2 --dataset=cifar_fs`."""

from experiments.program import program
from metalearn.methods import EMBEDDING

if __name__ == "__main__":
    program("experiments.embedding", "protonet", tuple(EMBEDDING))
