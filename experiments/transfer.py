"""Make a classifier of a pre-trained body, or of one trained here: probe, fine-tuning, adapters.

`python -m experiments.transfer --dataset=cifar100 --strategy=probe`. Datasets with the same classes
in training and test are used as published; of those whose test classes are new, these are learned
from one half of each class's images and tested on the other. `--labels=5` trains on five images a
class.
"""

import experiments._cli.begin  # noqa: F401  # first: it may start the program over
from experiments._cli.classify import carry_out_classifiers, classifier_runs, define_classifier
from experiments._cli.define import FLAGS
from experiments._cli.start import start
from metalearn.learners.registry import STRATEGIES


def main() -> None:
    """Train and test a classifier."""
    carry_out_classifiers(classifier_runs(FLAGS.strategy), "experiments.transfer")


if __name__ == "__main__":
    define_classifier(tuple(STRATEGIES), "probe")
    start(main)
