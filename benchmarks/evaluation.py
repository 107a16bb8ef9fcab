"""A whole test of prototypical networks, embedding included, ours beside others'.

`python -m benchmarks.evaluation [--episodes=10000] [--rounds=5] [--again]`

Conv4-64, 5-way 5-shot, 15 queries a class, on a split of CIFAR-FS's test size (20 classes of 600
images, 32x32x3). Ours also measures the moments of the training split (4,096 images), which the
peers keep as running averages of training. A step is a whole test. `--tiny` and `--peers` as in
`benchmarks._lib.program`.
"""

from benchmarks._lib.program import FLAGS, measure_row, run, sized
from benchmarks._lib.roofline import need
from benchmarks._lib.work import Work
from experiments._cli.define import define_flag


def main() -> None:
    """Measure, print and record one row."""
    base = Work(
        method="evaluation", shots=5, tasks=1, width=64, classes=20, episodes=FLAGS.episodes
    )
    for work in sized([base]):
        measure_row(
            "evaluation",
            work,
            need(work, work.classes * work.per_class),
            "a test",
            f"{work.episodes} episodes",
        )


if __name__ == "__main__":
    define_flag("episodes", 10_000, "test episodes", lower_bound=2)
    run(main)
