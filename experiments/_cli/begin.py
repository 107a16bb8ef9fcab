"""What has to happen before a program imports anything else: each imports this module first.

Started as `python -m experiments.NAME` on Linux, a program first starts itself over with huge pages
for malloc, unless GLIBC_TUNABLES is set: training on a CPU is slower without. The C library reads
that variable when a process begins, and only then; the process keeps its number. With --distributed
the program then continues in a child, see `experiments._cli.watch`. Ctrl-C ends it silently while
it imports what it needs, which takes seconds; after that see
`experiments._cli.start.guarded`. Imported by anything but a program, this module does nothing.
"""

import os
import signal
import sys
from collections.abc import Sequence

OURS = ("experiments.", "benchmarks.")


def is_program() -> bool:
    """Whether this process was started as `python -m` with a program of ours."""
    if sys.argv[:1] == ["-m"]:  # so only while Python looks for the module
        return True
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name.startswith(OURS)


def start_over() -> None:
    """Start the program once more, with huge pages; returns only where that is not possible."""
    if sys.platform != "linux":
        return
    if "GLIBC_TUNABLES" in os.environ or "METALEARN_STARTED" in os.environ:
        return
    tuned = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    once = {"METALEARN_STARTED": "once, whatever becomes of the other"}
    try:
        os.execve(
            sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **tuned, **once}
        )
    except OSError:
        pass  # slower, then


def of_several(words: Sequence[str]) -> bool:
    """Whether a command is for one process of several: `--distributed`, `--distributed=true`.

    Flags are parsed much later, by what has to be imported first.
    """
    named = [word.partition("=") for word in words if word.startswith("-")]
    values = [value for (name, _, value) in named if name.lstrip("-") == "distributed"]
    return any(value.lower() in ("", "true", "t", "1") for value in values)


def begin() -> None:
    """All of it, in this order."""
    start_over()
    if of_several(sys.orig_argv):
        from experiments._cli.watch import watch_over

        watch_over()
    # A job in the background ignores it
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


if is_program():
    begin()
