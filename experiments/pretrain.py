"""Train a classifier of labelled images from random weights; what it saves is a body for the rest.

`python -m experiments.pretrain --dataset=cifar10 --backbone=cnn --optimizer=adam --lr=1e-3`, then
for instance `python -m experiments.protonet --dataset=cifar_fs --init_from=WORKDIR
--backbone=cnn --norm=none`, which is told the network that WORKDIR has.
"""

import experiments._cli.begin  # noqa: F401  # first: it may start the program over
from experiments._cli.classify import carry_out_classifiers, classifier_runs, define_classifier
from experiments._cli.start import start


def main() -> None:
    """Train and test a classifier."""
    carry_out_classifiers(classifier_runs("scratch"), "experiments.pretrain")


if __name__ == "__main__":
    define_classifier(("scratch",), "scratch")
    start(main)
