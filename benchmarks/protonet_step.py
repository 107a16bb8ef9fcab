"""One outer step of prototypical networks, ours beside others'.

`python -m benchmarks.protonet_step [--ways=5,20] [--tasks=1] [--precision=float32] [--rounds=5]
[--seconds=2] [--again]`

Conv4-64 on 32x32x3, 5-shot, 15 queries a class, Adam, fresh episodes in every step. By default one
task, 5-way and 20-way; on an accelerator also tf32 beside float32. `--tiny` and `--peers` as in
`benchmarks._lib.program`.
"""

from benchmarks._lib.program import FLAGS, measure_row, run, settings, sized
from benchmarks._lib.roofline import need
from benchmarks._lib.work import Work
from experiments._cli.define import define_flag


def main() -> None:
    """Measure every combination that is asked for, in order."""
    ways = settings(FLAGS.ways, ["5", "20"])
    precisions = settings(FLAGS.precision, ["float32"], ["float32", "tf32"])
    base = Work(method="protonet", shots=5, width=64)
    works = (
        base._replace(ways=int(n), tasks=int(t), precision=p)
        for t in settings(FLAGS.tasks, ["1"])
        for n in ways
        for p in precisions
    )
    for work in sized(works):
        measure_row("protonet_step", work, need(work))


if __name__ == "__main__":
    define_flag("ways", None, "classes of an episode [5,20]", list)
    define_flag("tasks", None, "tasks a step [1]", list)
    define_flag(
        "precision", None, "of matrix products [float32; on an accelerator float32,tf32]", list
    )
    run(main)
