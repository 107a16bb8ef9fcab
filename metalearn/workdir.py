"""The folder of a run: whose it is, who is at work in it, and what its tests are called there."""

import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.record import THE_TEST, read_record, test_slug, write_json

IMAGES = "images"  # in config.json: the digest of the dataset


class Run(NamedTuple):
    """A run: its settings, and the folder that is its alone."""

    config: Config
    workdir: Path


def read_workdir(workdir: Path) -> tuple[Config, str]:
    """The configuration of the run in this folder, and the command that began it.

    Raises:
      UserError: there is none, or it is not whole.
    """
    path = workdir / "config.json"
    try:
        saved = json.loads(path.read_text())
        command = saved.pop("command", "")
        saved.pop(IMAGES, None)
        config = Config(**saved)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{workdir} holds no run (no config.json): give the --workdir of a training run") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not the configuration of a run: choose another --workdir") from error
    for f in dataclasses.fields(Config):
        value, kind = getattr(config, f.name), (int, float) if isinstance(f.default, float) else type(f.default)
        if not isinstance(value, kind):
            raise UserError(f"{path}: {f.name} cannot be {value!r}: choose another --workdir")
    return config, command


def check_images(workdir: Path, images: str) -> None:
    """See that the run there is on the images with this digest; one that does not tell may be on any.

    Raises:
      UserError: it is on others.
    """
    there = json.loads((workdir / "config.json").read_text()).get(IMAGES)
    if there and images and there != images:
        raise UserError(f"{workdir} holds a run on other images: see --data_dir, or choose another --workdir")


def open_workdir(workdir: Path, config: Config, command: str, images: str = "") -> None:
    """Make the folder and write the configuration there, or see that it is this run's folder.

    A run whose learning rate does not depend on its length may be continued with more `steps`. images is the digest of
    the dataset.

    Raises:
      UserError: the folder cannot be written, or belongs to a run with other settings or on other images.
    """
    path = workdir / "config.json"
    if path.exists():
        saved, said = read_workdir(workdir)
        old, new = saved.training(), config.training()
        if config.schedule not in ("cosine", "linear") and old["steps"] < new["steps"]:
            old["steps"] = new["steps"]
        other = [f"{k} is {old[k]} there, {v} here" for k, v in new.items() if old[k] != v]
        if other:
            raise UserError(f"{workdir} holds another run ({'; '.join(other[:3])}): choose another --workdir")
        check_images(workdir, images)
        if (saved, said) == (config, command):
            return
    elif (workdir / "checkpoints").exists():
        raise UserError(f"{workdir} holds checkpoints of an unknown run (no config.json): choose another --workdir")
    write_json(path, dataclasses.asdict(config) | {"command": command, IMAGES: images})


def forget_untrained(workdir: Path) -> None:
    """Leave the folder to any run, if that in it has saved nothing."""
    if not any(path.is_file() for path in (workdir / "checkpoints").rglob("*")):  # damaged ones are kept too
        shutil.rmtree(workdir / "checkpoints", ignore_errors=True)
        (workdir / "config.json").unlink(missing_ok=True)


@contextmanager
def sole(workdir: Path) -> Iterator[None]:
    """Hold the folder against a second process that would train in it; the system lets go when this one dies.

    Raises:
      UserError: another process holds it.
    """
    folder = os.open(workdir, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(folder)
        raise UserError(f"another process is at work in {workdir}: wait for it, or choose another --workdir") from None
    except OSError:  # a file system without locks
        pass
    try:
        yield
    finally:
        os.close(folder)


def result_path(workdir: Path, config: Config, norm: str, record: dict) -> Path:
    """`<workdir>/result-[<method>-]<test_slug>-<norm>.json`, the method where it is another than that of the run there.

    record is of the test, or what `the_test` says of it. A hash of that ends the name where another test of the same
    checkpoint has the name without.
    """
    path = _usual_path(workdir, config, norm)
    there = read_record(path)
    if there is None or any(there[name] != record[name] for name in ("steps", "best_step")):
        return path
    return path if all(there.get(name) == record[name] for name in THE_TEST) else _hashed(path, record)


def unfinished_path(workdir: Path, config: Config, norm: str, record: dict) -> Path:
    """Where a test under way is kept: `<workdir>/result-…-<hash>.npz`, which no other test has."""
    return _hashed(_usual_path(workdir, config, norm), record).with_suffix(".npz")


def picture_path(path: Path) -> Path:
    """Where the first episode of the test with its record at path is drawn: `<workdir>/episode-….png`."""
    return path.with_name(path.name.replace("result", "episode")).with_suffix(".png")


def _usual_path(workdir: Path, config: Config, norm: str) -> Path:
    other = "" if read_workdir(workdir)[0].method == config.method else f"{config.method}-"
    return workdir / f"result-{other}{test_slug(config)}-{norm}.json"


def _hashed(path: Path, record: dict) -> Path:
    words = json.dumps({name: record[name] for name in THE_TEST})
    return path.with_stem(f"{path.stem}-{sha256(words.encode()).hexdigest()[:16]}")
