"""A watcher over a process of a distributed run, for when another process dies.

JAX then aborts the process from within, where no Python code runs any more. So that a message and
an exit code are left, the program runs as a child of itself: the parent passes signals on and says
what happened. Forked before JAX is imported.
"""

import os
import signal
import sys
import threading
import time

LOST = 3  # exit code
MESSAGE = (
    "error: another process of this run is gone, so this one stopped: the same commands "
    "continue from the last checkpoint"
)


def watch_over() -> None:
    """Continue in a child process; the parent stays here, and ends as the child does.

    The child ends when its parent does.
    """
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.setsid()  # Ctrl-C of a terminal reaches it once, through its parent
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: os.kill(child, number))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == -signal.SIGABRT:
        print(MESSAGE, file=sys.stderr, flush=True)
        os._exit(LOST)
    os._exit(code if code >= 0 else 128 - code)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(LOST)
