"""Supervised pre-training, then a head per task: `python -m experiments.finetune --method=rfs --dataset=cifar_fs`."""

from experiments.program import program
from metalearn.methods import PRETRAINED

if __name__ == "__main__":
    program("experiments.finetune", "baseline", tuple(PRETRAINED))
