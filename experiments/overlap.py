"""Count the images of a dataset that occur in two of its splits, equal in every pixel.

`python -m experiments.overlap --dataset=cifar_fs`. The splits are used as published, such images
included: this says how many there are. Images that are only nearly equal are not found.
"""

import experiments._cli.begin  # noqa: F401  # first: it may start the program over
from experiments._cli.define import FLAGS, define_flag
from experiments._cli.flags import define_dataset, define_inputs
from experiments._cli.start import start
from metalearn.data import load
from metalearn.data.overlap import overlap


def main() -> None:
    """Compares every pair of splits and prints what they share.

    Raises:
      UserError: the dataset cannot be loaded.
    """
    dataset = load(FLAGS.dataset, FLAGS.data_dir, FLAGS.cache_dir, FLAGS.seed)
    for (first, second), shared in overlap(dataset).items():
        size = len(getattr(dataset, second).images)
        print(f"{len(shared)} of the {size} images of {second} also occur in {first}")
        for s in shared:
            print(
                f"  {second} {s.second} ({s.second_class}) is {first} {s.first} ({s.first_class})"
            )


if __name__ == "__main__":
    define_dataset()
    define_flag("seed", 0, "of the class split, where it is random", lower_bound=0)
    define_inputs()
    start(main)
