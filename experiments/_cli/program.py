"""What every experiment does around its run: flags, one-line errors, exit codes, the closing
summary.
"""

import io
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import shorten

import jax
import numpy as np
from absl import app, flags, logging

from experiments._cli.flags import FLAGS, define, runs_from_flags
from experiments._cli.places import FOLDERS, check_run_folder, settle_places
from experiments._cli.watch import LOST, MESSAGE
from metalearn.config import Config
from metalearn.data import load, resizes
from metalearn.errors import Interrupted, UserError
from metalearn.files import check_writable
from metalearn.parallel import by_first, first, join
from metalearn.records.record import STAGES, Record
from metalearn.records.store import (
    default_workdir,
    read_counts,
    record_path,
    write_counts,
    write_record,
)
from metalearn.records.workdir import read_workdir
from metalearn.run import check_settings, check_together, execute, read_trained, summary
from metalearn.runtime import configure, overlook_closed_loops
from metalearn.training.assemble import Lab, even_devices, make_lab
from metalearn.types import InputSpec

HOSTS = ("coordinator", "num_processes", "process_id")
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
    """Parse the flags and run main: exit 0 when done, 2 with one line on a user's error, 128 + n on
    signal n.

    words are the names of what the command line has beside flags; main gets them in this order.
    """
    overlook_closed_loops()
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
        settle_places()
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
    """The exit code of run(), its user's errors told in one line."""
    logging.set_verbosity(logging.FATAL)  # libraries log what they raise as well
    old = signal.signal(signal.SIGTERM, _terminate)
    try:
        _hear_ctrl_c()
        run()
    except UserError as error:
        return _fail(str(error))
    except Interrupted as stop:
        print(f"{stop}; the same command goes on from there", file=sys.stderr)
        return 128 + stop.signal
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from what was saved", file=sys.stderr)
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
    except BrokenPipeError:  # whoever read this has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that Python's last flush finds somebody
        return 128 + signal.SIGPIPE
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _fail(f"the system refused{where}: {error.strerror or error}")
    finally:
        signal.signal(signal.SIGTERM, old)
    return 0


def _hear_ctrl_c() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as it was while modules were imported
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _terminate(number: int, frame: object) -> None:
    raise Interrupted(number, "stopped; what was saved is kept")


def set_up(config: Config) -> None:
    """Set the machine up for the config.

    Raises:
      UserError: a setting that cannot be right, as far as can be told without the dataset.
    """
    config.check()
    meet()
    configure(config.meta_batch, config.precision)
    check_jax()
    check_settings(config)
    if FLAGS.test_data_dir and not config.test_dataset:
        raise UserError("--test_data_dir is of --test_dataset: give that too")
    if FLAGS.record:
        by_first(lambda: check_writable(Path(FLAGS.results_dir)))


def open_lab(config: Config) -> Lab:
    """The dataset on the devices: as many as share out the tasks evenly.

    Raises:
      UserError: no such dataset.
    """
    dataset = load(
        config.dataset, FLAGS.data_dir, FLAGS.cache_dir, config.seed, config.image_size or None
    )
    return make_lab(dataset, _devices(config), FLAGS.tasks_per_device, FLAGS.stream)


def open_test_lab(config: Config, inputs: InputSpec) -> Lab:
    """The dataset of --test_dataset on the devices, for a body that takes these inputs.

    Raises:
      UserError: no such dataset, or its images do not fit.
    """
    name = config.test_dataset
    folder = FLAGS.test_data_dir or FLAGS.data_dir
    size = max(inputs.size) if resizes(name) else None
    dataset = load(name, folder, FLAGS.cache_dir, config.seed, size)
    lab = make_lab(dataset, _devices(config), FLAGS.tasks_per_device, FLAGS.stream, inputs)
    jax.eval_shape(lab.prepare, np.zeros((1, *dataset.test.images.shape[1:]), np.uint8))
    return lab


def _devices(config: Config) -> int:
    return even_devices(config.meta_batch) if FLAGS.devices is None else FLAGS.devices


def tested_lab(config: Config, workdir: Path) -> Lab:
    """What a test of the run in a folder is made on: its own dataset, or --test_dataset.

    Raises:
      UserError: no such dataset; or the run is of an older version, or not finished.
    """
    set_up(config)
    if not config.test_dataset:
        return open_lab(config)
    inputs = read_trained(workdir).inputs
    if inputs is None:
        raise UserError(
            f"{workdir} does not say which images its body takes, as it is of an older version: "
            "train it again to test it on another dataset"
        )
    return open_test_lab(config, inputs)


def check_jax() -> None:
    """See that JAX is set to compute in float32, on devices that are there.

    Raises:
      UserError: it is not.
    """
    if jax.config.values["jax_enable_x64"]:
        raise UserError("JAX_ENABLE_X64: runs are in float32, as their records say: unset it")
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # the latter where no plugin is installed
        asked = jax.config.values["jax_platforms"]
        why = shorten(str(error), 120) or "it is not installed"
        raise UserError(
            f"JAX finds no device of JAX_PLATFORMS={asked} ({why}): unset that, or install what is "
            "needed for such a device"
        ) from error


def meet() -> None:
    """Join the other processes of a distributed run.

    Raises:
      UserError: they do not meet, or flags of distributed runs without --distributed.
    """
    alone = [
        name
        for name in ("coordinator", "num_processes", "process_id")
        if FLAGS[name].value is not None
    ]
    if FLAGS.distributed:
        join(FLAGS.coordinator, FLAGS.num_processes, FLAGS.process_id)
    elif alone:
        raise UserError(f"--{alone[0]} is for runs of several processes: add --distributed")


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
    set_up(config)
    lab = open_lab(config)
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
        name, equals, _ = word.lstrip("-").partition("=")
        if name in PLACES:
            if not equals:
                next(given, None)  # its value
        elif name not in SWITCHES:
            words.append(word)
    return shlex.join(["python", "-m", module, *words])


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
