"""Prototypical networks.

`python -m experiments.protonet --dataset=omniglot --shots=5`.
"""

import experiments._cli.begin  # noqa: F401  # first: it may start the program over
from experiments._cli.program import program

if __name__ == "__main__":
    program("experiments.protonet", "protonet", ("protonet",))
