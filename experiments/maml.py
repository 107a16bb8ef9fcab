"""MAML, FOMAML, ANIL and BOIL on any dataset: `python -m experiments.maml --dataset=cifar_fs --shots=5`."""

from experiments.program import program

if __name__ == "__main__":
    program("experiments.maml", "maml", ("maml", "fomaml", "anil", "boil"))
