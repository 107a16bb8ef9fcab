"""A fresh process from nothing to its second step.

`python -m benchmarks.first_step MODULE WORK [ARGUMENT...]`

Prints its clock (seconds since the epoch, as only that is shared with the parent) after each part.
Imports nothing but the standard library before it starts to count.
"""

import json
import sys
import time


def main() -> None:
    """Import the contender, make it ready, make one step, make another.

    Ready is one with its data on the device and its parameters drawn.
    """
    module, work, *arguments = sys.argv[1:]
    marks = {"start": time.time()}
    from importlib import import_module

    contender_of = import_module(module).make
    marks["import"] = time.time()
    from benchmarks._lib.work import Work

    contender = contender_of(Work(**json.loads(work)), *arguments)
    marks["ready"] = time.time()
    for name in ("first_step", "second_step"):
        contender.steps(1)
        marks[name] = time.time()
    print(json.dumps(marks))


if __name__ == "__main__":
    main()
