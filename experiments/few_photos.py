"""Measure recognisers of few photographs: how often they are right, and when they do not know.

`python -m experiments.few_photos --dataset=grocery --data_dir=DIR --ways=5 --labels=1`. Each draw
takes some classes and photographs of a dataset, fits a recogniser as `experiments.personalise` does
and tests it on the dataset's test photographs; `--unknown=20` leaves out further classes, whose
photographs it should not know. --record writes the means to results/personal/.
"""

import experiments._cli.begin  # noqa: F401  # first: it may start the program over
from experiments._cli.few_photos import define_few_photos, measure
from experiments._cli.start import start

if __name__ == "__main__":
    define_few_photos()
    start(measure)
