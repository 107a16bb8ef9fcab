"""The folder of a run: which run it belongs to, and which process uses it."""

import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from metalearn.config import Config, in_order
from metalearn.errors import UserError
from metalearn.files import make_folder
from metalearn.ops.optimizers import BY_LENGTH
from metalearn.records.parse import config_from_json, lineage_from_json
from metalearn.records.record import Stage, lineage_to_json
from metalearn.records.store import write_json
from metalearn.settings import STAGES
from metalearn.training.metric_log import seconds_until

# Of config.json, beside the settings
OTHERS = ("command", "lineage", "images", "decoder", "classes")


class Saved(NamedTuple):
    """What the folder of a run says of it.

    Attributes:
      config: its settings.
      command: what began it.
      lineage: the trainings that it began from.
      images: digest of the data set, empty where a run of an older version does not say.
      decoder: what read the images, where that decides their pixels.
      classes: names of those that it and those before it were trained on; None where a run of
        an older version does not say.
    """

    config: Config
    command: str = ""
    lineage: tuple[Stage, ...] = ()
    images: str = ""
    decoder: str = ""
    classes: tuple[str, ...] | None = None


def holds_run(workdir: Path) -> bool:
    """Whether a run was begun in the folder."""
    return (workdir / "config.json").is_file()


def read_workdir(workdir: Path) -> Saved:
    """What the folder says of its run.

    Raises:
      UserError: there is none, or it is not whole.
    """
    path = workdir / "config.json"
    try:
        found = json.loads(path.read_text())
        others = {name: found.pop(name) for name in OTHERS if name in found}
        config = config_from_json(found)
        command = str(others.get("command", ""))
        images, decoder = (str(others.get(name, "")) for name in ("images", "decoder"))
        classes = None if others.get("classes") is None else tuple(map(str, others["classes"]))
        # a run of an older version does not hold the stages before it: their folders do
        stages = lineage_from_json(others["lineage"]) if "lineage" in others else lineage_of(config)
    except (FileNotFoundError, NotADirectoryError):
        missing = f"{workdir} holds no run (no config.json): give the --workdir of a training run"
        raise UserError(missing) from None
    except (ValueError, TypeError, AttributeError, UserError) as error:
        why = f" ({error})" if isinstance(error, UserError) else ""
        wrong = f"{path} is not the configuration of a run{why}: choose another --workdir"
        raise UserError(wrong) from error
    return Saved(config, command, stages, images, decoder, classes)


def lineage_of(config: Config) -> tuple[Stage, ...]:
    """The finished trainings that a run with these settings begins from, each with those before it.

    Raises:
      UserError: a folder that the settings name holds no run.
    """
    stages = []
    for role in STAGES:
        if folder := getattr(config, role):
            workdir = Path(folder)
            saved = read_workdir(workdir)
            seconds = round(seconds_until(workdir / "metrics.jsonl", saved.config.steps), 1)
            stages.append(Stage(role, saved.config, saved.lineage, seconds))
    return tuple(stages)


def check_images(workdir: Path, images: str, decoder: str = "") -> None:
    """See that the run there is on the images with this digest.

    A run of an older version does not say; it may be on any.

    Raises:
      UserError: it is on others; decoders are named if they differ.
    """
    there = read_workdir(workdir)
    if not there.images or not images or there.images == images:
        return
    versions = f" (read by {there.decoder or 'none'}, here by {decoder or 'none'})"
    why = versions if there.decoder != decoder else ""
    raise UserError(
        f"{workdir} holds a run on other images{why}: see --data_dir, or choose another --workdir"
    )


def open_workdir(workdir: Path, run: Saved) -> None:
    """Make the folder and write the run's configuration there, or see that it is this run's folder.

    A run in which nothing depends on its length may be continued with more `steps`.
    Earlier stages are compared by what they are, not by their folders. A run that saved nothing,
    for it was killed before, leaves its folder to any other.

    Raises:
      UserError: the folder cannot be written, or belongs to a run with other settings, stages or
        images.
    """
    path = workdir / "config.json"
    if path.exists():
        there = read_workdir(workdir)
        if there == run:
            return
        if _holds_anything(workdir):
            _check_same(workdir, there, run)
            check_images(workdir, run.images, run.decoder)
    elif (workdir / "checkpoints").exists():
        raise UserError(
            f"{workdir} holds checkpoints of an unknown run (no config.json): choose another "
            "--workdir"
        )
    others: dict[str, Any] = {"command": run.command, "lineage": lineage_to_json(run.lineage)}
    others |= {"images": run.images, "decoder": run.decoder, "classes": run.classes}
    write_json(path, dataclasses.asdict(run.config) | others)


def _check_same(workdir: Path, there: Saved, here: Saved) -> None:
    old = there.config.training()
    new = here.config.training()
    lasting = here.config.schedule.partition(":")[0] in BY_LENGTH
    lasting |= here.config.method == "gradual"  # stages begin at shares of the length
    if not lasting and old["steps"] < new["steps"]:
        old["steps"] = new["steps"]
    other = [
        f"{k} is {old[k]} there, {v} here"
        for k, v in ((name, new[name]) for name in in_order(new))
        if k not in STAGES and old[k] != v
    ]
    if lineage_to_json(there.lineage, timed=False) != lineage_to_json(here.lineage, timed=False):
        names = [name for name in STAGES if old[name] or new[name]]
        other += [
            f"{name} is {old[name] or 'none'} there, {new[name] or 'none'} here" for name in names
        ]
    if other:
        raise UserError(
            f"{workdir} holds another run ({'; '.join(other[:3])}): choose another --workdir"
        )


def forget_untrained(workdir: Path) -> None:
    """Leave the folder to any run, if that in it has saved nothing."""
    if not _holds_anything(workdir):
        shutil.rmtree(workdir / "checkpoints", ignore_errors=True)
        (workdir / "config.json").unlink(missing_ok=True)


def _holds_anything(workdir: Path) -> bool:
    """Whether there is a result, or a file of a checkpoint: a damaged one counts too."""
    saved = (workdir / "checkpoints").rglob("*")
    return any(path.is_file() for path in saved) or any(workdir.glob("result*.json"))


@contextmanager
def hold_workdir(workdir: Path, run: Saved) -> Iterator[None]:
    """Hold the folder for this run alone; whatever fails before anything is saved frees it again.

    It is locked before anything is written there: another process may be at work in it.

    Args:
      workdir: the folder.
      run: what it is to say.

    Raises:
      UserError: as `open_workdir` and `lock_workdir`.
    """
    make_folder(workdir)
    with lock_workdir(workdir):
        open_workdir(workdir, run)
        try:
            yield
        except Exception:
            forget_untrained(workdir)
            raise


@contextmanager
def lock_workdir(workdir: Path) -> Iterator[None]:
    """Hold the folder against a second process that would train in it.

    The system releases it when this process dies.

    Raises:
      UserError: another process holds it.
    """
    folder = os.open(workdir, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(folder)
        raise UserError(
            f"another process is at work in {workdir}: wait for it, or choose another --workdir"
        ) from None
    except OSError:  # a file system without locks
        pass
    try:
        yield
    finally:
        os.close(folder)
