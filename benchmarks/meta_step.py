"""One outer step of second-order MAML, ours beside others'.

`python -m benchmarks.meta_step [--shots=1,5] [--tasks=4] [--precision=float32] [--rounds=5]
[--seconds=2] [--again]`

Conv4-32 on 32x32x3, 5-way, 5 inner steps at 0.01, 15 queries a class, Adam, fresh episodes in every
step. By default 4 tasks; on an accelerator also 32, 128 and 512, and tf32 beside float32. `--tiny`
and `--peers` as in `benchmarks._lib.program`.
"""

from benchmarks._lib.program import FLAGS, measure_row, run, settings, sized
from benchmarks._lib.roofline import need
from benchmarks._lib.work import Work
from experiments._cli.define import define_flag


def main() -> None:
    """Measure every combination that is asked for, in order."""
    tasks = settings(FLAGS.tasks, ["4"], ["4", "32", "128", "512"])
    shots = settings(FLAGS.shots, ["1", "5"])
    precisions = settings(FLAGS.precision, ["float32"], ["float32", "tf32"])
    works = [
        Work(shots=int(k), tasks=int(t), precision=p)
        for t in tasks
        for k in shots
        for p in precisions
    ]
    for work in sized(works):
        measure_row("meta_step", work, need(work))


if __name__ == "__main__":
    define_flag("shots", None, "labelled images a class [1,5]", list)
    define_flag("tasks", None, "tasks a step [4; on an accelerator 4,32,128,512]", list)
    define_flag(
        "precision", None, "of matrix products [float32; on an accelerator float32,tf32]", list
    )
    run(main)
