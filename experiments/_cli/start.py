"""How every program starts and ends: flags, one-line errors, exit codes."""

import io
import os
import re
import signal
import sys
from collections.abc import Callable
from textwrap import shorten

import jax
from absl import app, flags, logging

from experiments._cli.places import resolve_places
from experiments._cli.watch import LOST, MESSAGE
from metalearn.errors import Interrupted, UserError
from metalearn.runtime import hide_closed_loop_errors

FLAGS = flags.FLAGS
# Modules that define flags for programs
DEFINING = (
    "experiments._cli.flags",
    "experiments._cli.active_arguments",
    "experiments._cli.adapt_arguments",
    "experiments._cli.classify",
    "experiments._cli.personal_arguments",
    "experiments._cli.labelling_arguments",
    "experiments._cli.personal_export",
    "experiments._cli.page",
    "experiments._cli.few_photos",
    "benchmarks._lib.program",
)
LESS = "lower --meta_batch, --batch_size or --image_size, or give --tasks_per_device=1"
# Words of errors of lost processes
LOSSES = re.compile("gloo|nccl|connection|coordination|heartbeat", re.IGNORECASE)


def start(main: Callable[..., None], words: tuple[str, ...] = (), more: str | None = None) -> None:
    """Parse the flags, run main and exit.

    The status is 0 when done, 2 with one line on a user's error, 128 + n on signal n.

    Args:
      main: gets the words of the command line in their order.
      words: names of what the command line has beside flags.
      more: name of what may follow these, any number of times; without it nothing may.
    """
    hide_closed_loop_errors()
    if sys.stdout is None:  # closed, as by a daemon
        sys.stdout = open(os.devnull, "w")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every encoding has the ± of an accuracy
    app.run(
        lambda argv: sys.exit(guarded(lambda: main(*argv[1:]))),
        flags_parser=lambda argv: _parse(argv, words, more),
    )


def shown() -> str:
    """The flags that the program shares with others of its kind, if it takes them, and its own."""
    shared = (FLAGS.module_help(name) for name in DEFINING)
    return "\n".join(text for text in (*shared, FLAGS.main_module_help()) if text)


def _parse(argv: list[str], words: tuple[str, ...], more: str | None) -> list[str]:
    if {"-h", "-help", "--help", "--helpfull", "--helpshort"} & set(argv[1:]):
        sys.exit(_show_help())
    try:
        rest = FLAGS(argv)
        resolve_places()
    except UserError as error:
        sys.exit(_fail(str(error)))
    except (flags.Error, ValueError) as error:  # the latter: --nostream=1
        sys.exit(_fail(str(error).splitlines()[0]))
    if len(rest) <= len(words):
        sys.exit(
            _fail(f"{words[len(rest) - 1]} is missing: give {' and '.join(words)}; see --help")
        )
    if more is None and len(rest) > len(words) + 1:
        sys.exit(
            _fail(
                f"unexpected argument '{rest[len(words) + 1]}': flags look like --name=value; see "
                "--help"
            )
        )
    return rest


def _show_help() -> int:
    try:
        print(f"{sys.modules['__main__'].__doc__}\n{shown()}", flush=True)
    except BrokenPipeError:
        return _unread()
    return 0


def _unread() -> int:
    """The exit code where what read this output has ended; Python's last flush does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 128 + signal.SIGPIPE


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


def guarded(run: Callable[[], None]) -> int:
    """The exit code of run(); a user's error is printed as one line."""
    logging.set_verbosity(logging.FATAL)  # libraries log what they raise as well
    old = signal.signal(signal.SIGTERM, _terminate)
    try:
        _restore_ctrl_c()
        run()
        sys.stdout.flush()  # here, where an error of it is known, and not at Python's end
    except UserError as error:
        return _fail(str(error))
    except Interrupted as stop:
        print(f"{stop}; the same command continues from there", file=sys.stderr)
        return 128 + stop.signal
    except KeyboardInterrupt:
        print("interrupted; the same command continues from what was saved", file=sys.stderr)
        return 128 + signal.SIGINT
    except MemoryError:
        return _fail(f"out of memory: {LESS}")
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            return _fail(f"out of memory ({shorten(str(error), 120)}): {LESS}")
        if not LOSSES.search(str(error)):
            raise
        print(f"{shorten(str(error), 200)}\n{MESSAGE}", file=sys.stderr, flush=True)
        os._exit(LOST)  # at once: an orderly end would wait for the others
    except BrokenPipeError:
        return _unread()
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _fail(f"the system refused{where}: {error.strerror or error}")
    finally:
        signal.signal(signal.SIGTERM, old)
    return 0


def _restore_ctrl_c() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as it was while modules were imported
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _terminate(number: int, frame: object) -> None:
    raise Interrupted(number, "stopped; what was saved is kept")


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
