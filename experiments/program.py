"""What every experiment does around its run: flags, one-line errors, exit codes, the closing summary."""

import os
import shlex
import sys
from pathlib import Path

from absl import app, flags, logging

from experiments.flags import FLAGS, config_from_flags, define, workdir_from_flags
from metalearn.errors import Interrupted, UserError


def program(default_method: str, methods: tuple[str, ...], module: str) -> None:
    """Run `python -m <module>`: exit 0 when done, 2 with one line on a user's error, 128 + n on signal n."""
    define(default_method, methods)

    def parse(argv: list[str]) -> list[str]:
        try:
            rest = FLAGS(argv)
        except flags.Error as error:
            sys.exit(_fail(str(error).splitlines()[0]))
        if len(rest) > 1:
            sys.exit(_fail(f"unexpected argument '{rest[1]}': flags look like --name=value; see --help"))
        return rest

    app.run(lambda argv: sys.exit(guarded(lambda: main(module))), flags_parser=_with_help(parse))


def _with_help(parse):
    def parser(argv: list[str]) -> list[str]:
        if any(a in ("--help", "-h", "-help", "--helpfull", "--helpshort") for a in argv[1:]):
            return app.parse_flags_with_usage(argv)
        return parse(argv)

    return parser


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


def guarded(run) -> int:
    """The exit code of run(), its user's errors told in one line."""
    try:
        run()
    except UserError as error:
        return _fail(str(error))
    except Interrupted as stop:
        print(f"{stop}; the same command goes on from there", file=sys.stderr)
        return 128 + stop.signal
    except KeyboardInterrupt:
        print("interrupted before training began; nothing is lost", file=sys.stderr)
        return 130
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _fail(f"the system refused{where}: {error.strerror or error}")
    return 0


def main(module: str) -> None:
    """Load, run, record, say."""
    logging.set_verbosity(logging.WARNING)
    config = config_from_flags()
    workdir = workdir_from_flags(config)
    from metalearn.runtime import configure

    configure(config.meta_batch, config.precision)
    from metalearn.data import load
    from metalearn.fit import make_lab
    from metalearn.record import record_path, write_json
    from metalearn.run import execute, summary

    dataset = load(
        config.dataset, FLAGS.data_dir, FLAGS.cache_dir, seed=config.seed, image_size=config.image_size or None
    )
    records = execute(config, make_lab(dataset, FLAGS.devices), workdir, command_line(module))
    for record in records if FLAGS.record else []:
        path = record_path(Path(FLAGS.results_dir), config, record["norm"])
        write_json(path, record)
        print(f"recorded: {path}")
    print(summary(records, workdir))


def command_line(module: str) -> str:
    """The command as typed, without the places of this machine."""
    places = ("data_dir", "cache_dir", "workdir", "results_dir", "record", "norecord")
    words = [a for a in sys.argv[1:] if a.lstrip("-").split("=")[0] not in places]
    return shlex.join(["python", "-m", module, *words])


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
