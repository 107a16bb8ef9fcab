"""Methods that train the body through a head: `python -m experiments.embedding --method=r2d2 --dataset=cifar_fs`."""

from experiments.program import program

if __name__ == "__main__":
    program("experiments.embedding", "r2d2", ("protonet", "matchingnet", "relationnet", "r2d2", "metaoptnet"))
