"""What every experiment does around its run: flags, one-line errors, exit codes, the summary."""

import dataclasses
import io
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import shorten

import jax
from absl import app, flags, logging

from experiments._cli.flags import FLAGS, define, runs_from_flags
from experiments._cli.lab import HOSTS, open_body, open_lab, open_test_lab, set_up
from experiments._cli.places import FOLDERS, check_run_folder, resolve_places
from experiments._cli.watch import LOST, MESSAGE
from metalearn.errors import Interrupted, UserError
from metalearn.parallel import first
from metalearn.records.record import STAGES, Record
from metalearn.records.store import (
    default_workdir,
    read_counts,
    record_path,
    write_counts,
    write_record,
)
from metalearn.records.workdir import read_workdir
from metalearn.run import check_together, execute, summary
from metalearn.runtime import hide_closed_loop_errors
from metalearn.training.state import Run

PLACES = (*FOLDERS, *HOSTS)
LESS = "lower --meta_batch, --batch_size or --image_size, or give --tasks_per_device=1"
# Words of errors of lost processes
LOSSES = re.compile("gloo|nccl|connection|coordination|heartbeat", re.IGNORECASE)
SWITCHES = ("record", "norecord", "distributed", "nodistributed")


def program(module: str, default_method: str, methods: tuple[str, ...]) -> None:
    """Run `python -m <module>`, an experiment that trains one of `methods`."""
    define(default_method, methods)
    start(lambda: train_and_test(module))


def start(main: Callable[..., None], words: tuple[str, ...] = ()) -> None:
    """Parse the flags, run main and exit.

    The status is 0 when done, 2 with one line on a user's error, 128 + n on signal n.

    words are the names of what the command line has beside flags; main gets them in this order.
    """
    hide_closed_loop_errors()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every encoding has the ± of an accuracy
    app.run(
        lambda argv: sys.exit(guarded(lambda: main(*argv[1:]))),
        flags_parser=lambda argv: _parse(argv, words),
    )


def shown() -> str:
    """The flags that the program shares with others of its kind, if it takes them, and its own."""
    shared = (
        FLAGS.module_help(name) for name in ("experiments._cli.flags", "benchmarks._lib.program")
    )
    return "\n".join(text for text in (*shared, FLAGS.main_module_help()) if text)


def _parse(argv: list[str], words: tuple[str, ...]) -> list[str]:
    if {"-h", "-help", "--help", "--helpfull", "--helpshort"} & set(argv[1:]):
        print(f"{sys.modules['__main__'].__doc__}\n{shown()}")
        sys.exit(0)
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
    if len(rest) > len(words) + 1:
        sys.exit(
            _fail(
                f"unexpected argument '{rest[len(words) + 1]}': flags look like --name=value; see "
                "--help"
            )
        )
    return rest


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
    except BrokenPipeError:  # what read this output has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that Python's last flush does not fail
        return 128 + signal.SIGPIPE
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


def train_and_test(module: str) -> None:
    """Load, run, record, say."""
    runs = runs_from_flags()
    command = command_line(module)
    check_together(runs)
    for run in runs:
        check_run_folder(run.workdir)
    config = runs[0].config
    for name in STAGES:
        if before := getattr(config, name):
            other = read_workdir(Path(before))
            command = f"{other.command} && {command} --{name}={default_workdir(other.config)}"
    carry_out(runs, command)


def carry_out(runs: Sequence[Run], command: str) -> None:
    """Train and test runs that differ in their seeds alone; write records, report what was found.

    Raises:
      UserError: settings, weights or images that do not fit, or as `metalearn.run.execute`.
    """
    set_up(runs[0].config)
    config, body = open_body(runs[0].config)
    configs = [dataclasses.replace(run.config, weights=config.weights) for run in runs]
    runs = [run._replace(config=other) for run, other in zip(runs, configs, strict=True)]
    lab = open_lab(config, body)
    tested_on = open_test_lab(config, lab.inputs) if config.test_dataset else None
    for run, records in zip(runs, execute(runs, lab, command, tested_on), strict=True):
        finish(run.workdir, records)


def finish(workdir: Path, records: list[Record]) -> None:
    """Write the records where --record asks for it, and say what was found."""
    if not first():
        return
    for record in records if FLAGS.record else []:
        path = record_path(Path(FLAGS.results_dir), record)
        assert record.path is not None  # it lies in the run's folder
        write_counts(path, read_counts(record.path))
        write_record(path, record)
        print(f"recorded: {path}")
    print(summary(records, workdir))


def command_line(module: str) -> str:
    """The command as typed, without the places of this machine."""
    words = []
    given = iter(sys.argv[1:])
    for word in given:
        name, equals, value = word.lstrip("-").partition("=")
        if name in PLACES:
            if not equals:
                next(given, None)  # its value
        elif name == "weights":  # the name of the file says which; its folder is this machine's
            words.append(f"--weights={Path(value if equals else next(given, '')).name}")
        elif name not in SWITCHES:
            words.append(word)
    return shlex.join(["python", "-m", module, *words])


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
