"""What every experiment does around its run: flags, one-line errors, exit codes, the closing summary."""

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from absl import app, flags, logging

from experiments.flags import FLAGS, config_from_flags, define, workdir_from_flags
from metalearn.config import Config
from metalearn.data import load
from metalearn.errors import Interrupted, UserError
from metalearn.fit import Lab, make_lab
from metalearn.record import record_path, write_json
from metalearn.run import execute, summary
from metalearn.runtime import configure

PLACES = ("data_dir", "cache_dir", "workdir", "results_dir", "record", "norecord")


def program(module: str, default_method: str, methods: tuple[str, ...]) -> None:
    """Run `python -m <module>`, an experiment that trains one of `methods`."""
    define(default_method, methods)
    start(lambda: train_and_test(module))


def start(main: Callable[[], None]) -> None:
    """Parse the flags and run main: exit 0 when done, 2 with one line on a user's error, 128 + n on signal n."""
    app.run(lambda argv: sys.exit(guarded(main)), flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
    if any(word in ("--help", "-h", "-help", "--helpfull", "--helpshort") for word in argv[1:]):
        return app.parse_flags_with_usage(argv)
    try:
        rest = FLAGS(argv)
    except flags.Error as error:
        sys.exit(_fail(str(error).splitlines()[0]))
    if len(rest) > 1:
        sys.exit(_fail(f"unexpected argument '{rest[1]}': flags look like --name=value; see --help"))
    return rest


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


def guarded(run: Callable[[], None]) -> int:
    """The exit code of run(), its user's errors told in one line."""
    logging.set_verbosity(logging.WARNING)
    try:
        run()
    except UserError as error:
        return _fail(str(error))
    except Interrupted as stop:
        print(f"{stop}; the same command goes on from there", file=sys.stderr)
        return 128 + stop.signal
    except KeyboardInterrupt:
        print("interrupted; what was saved before is kept", file=sys.stderr)
        return 130
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _fail(f"the system refused{where}: {error.strerror or error}")
    return 0


def open_lab(config: Config) -> Lab:
    """The machine set up for the config, and its dataset on the devices."""
    configure(config.meta_batch, config.precision)
    size = config.image_size or None
    return make_lab(load(config.dataset, FLAGS.data_dir, FLAGS.cache_dir, config.seed, size), FLAGS.devices)


def train_and_test(module: str) -> None:
    """Load, run, record, say."""
    config = config_from_flags()
    workdir = workdir_from_flags(config)
    finish(config, workdir, execute(config, open_lab(config), workdir, command_line(module)))


def finish(config: Config, workdir: Path, records: list[dict]) -> None:
    """Write the records where --record asks for it, and say what was found."""
    for record in records if FLAGS.record else []:
        path = record_path(Path(FLAGS.results_dir), config, record["norm"])
        write_json(path, record)
        print(f"recorded: {path}")
    print(summary(records, workdir))


def command_line(module: str) -> str:
    """The command as typed, without the places of this machine."""
    words = [word for word in sys.argv[1:] if word.lstrip("-").split("=")[0] not in PLACES]
    return shlex.join(["python", "-m", module, *words])


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
