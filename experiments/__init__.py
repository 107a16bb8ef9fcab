"""Programs: each is flags and wiring over `metalearn`.

Started as `python -m experiments.NAME` on Linux, a program first starts itself over with huge pages for malloc, unless
GLIBC_TUNABLES is set: training on a CPU is slower without. The C library reads that variable
when a process begins, and only then; the process keeps its number. With --distributed it then goes on in a child, see
`experiments._cli.watch`. Ctrl-C ends it without a word while it imports what it needs, which takes seconds; after that
see `experiments._cli.program.guarded`.
"""

import os
import signal
import sys

STARTED = sys.argv[:1] == ["-m"]  # it is -m only while `python -m` looks for its module


def _start_over() -> None:
    if sys.platform != "linux" or not STARTED:
        return
    if "GLIBC_TUNABLES" in os.environ or "METALEARN_STARTED" in os.environ:
        return
    tuned = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "METALEARN_STARTED": "once, whatever becomes of the other"}
    try:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **tuned})
    except OSError:
        pass  # slower, then


_start_over()
if "--distributed" in sys.orig_argv:
    from experiments._cli.watch import watch_over

    watch_over()
if STARTED and signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a job in the background ignores it
    signal.signal(signal.SIGINT, signal.SIG_DFL)
