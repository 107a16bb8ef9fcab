"""Every file of a run and of the records: what it is called, how it is written and read."""

import dataclasses
import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.files import write_whole
from metalearn.records.names import dataset_of, file_name, run_slug, test_slug
from metalearn.records.parse import from_json
from metalearn.records.record import Planned, Record, to_json


def default_workdir(config: Config) -> Path:
    """`runs/<dataset>-<run_slug>`, the folder of a run without --workdir."""
    return Path("runs") / f"{file_name(config.dataset)}-{run_slug(config, config.norm)}"


def record_path(root: Path, record: Record) -> Path:
    """`<root>/<dataset>/<run_slug>.json`, ending with -2, -3, … if another test has the name."""
    name = run_slug(record.config, record.test.norm, record.roles)
    folder = Path(root) / file_name(dataset_of(record))
    return free_path(folder, name, lambda path: _same(path, record))


def free_path(folder: Path, name: str, same: Callable[[Path], bool]) -> Path:
    """`<folder>/<name>.json`, ending with -2, -3, … if another test has the name.

    Args:
      folder: of the records.
      name: of the file, without its end.
      same: whether the file there is of the same test, whose record is replaced.
    """
    for number in count(1):
        path = folder / f"{name}{f'-{number}' if number > 1 else ''}.json"
        if not path.exists() or same(path):
            return path
    raise AssertionError


def _same(path: Path, record: Record) -> bool:
    """Whether the file at path is a record of the same command, which may replace it."""
    try:
        return read_record(path).command_identity == record.command_identity
    except UserError:
        return False


def result_path(workdir: Path, trained: str, planned: Planned) -> Path:
    """`<workdir>/result-[<method>-][<dataset>-]<test_slug>-<norm>.json`, where a test's record is.

    If another test of the same checkpoint has that name, this test's identity is added to it.

    Args:
      workdir: folder of the run.
      trained: method of the run; the test's is in the name if it is another, as its dataset is.
      planned: the test.
    """
    path = _usual_path(workdir, trained, planned)
    there = whole_record(path)
    if there is None or there.identity == planned.identity:
        return path
    if _checkpoint(there.planned) != _checkpoint(planned):
        return path
    return path.with_stem(f"{path.stem}-{planned.identity}")


def partial_path(workdir: Path, trained: str, planned: Planned) -> Path:
    """`<workdir>/result-…-<identity>.npz`, where a test's partial results are written."""
    path = _usual_path(workdir, trained, planned)
    return path.with_name(f"{path.stem}-{planned.identity}.npz")


def picture_path(path: Path) -> Path:
    """`<workdir>/episode-….png`, the drawing of a test's first episode; path is of its record."""
    return path.with_name(path.name.replace("result", "episode")).with_suffix(".png")


def counts_path(path: Path) -> Path:
    """The file of each episode's correct queries: beside the record, `.npy` for `.json`."""
    return path.with_suffix(".npy")


def _usual_path(workdir: Path, trained: str, planned: Planned) -> Path:
    method = planned.config.method
    other = "" if method == trained else f"{method}-"
    if planned.config.test_dataset:
        other += f"{file_name(planned.config.test_dataset)}-"
    return workdir / f"result-{other}{test_slug(planned.config)}-{planned.test.norm}.json"


def _checkpoint(planned: Planned) -> tuple[int, int]:
    return planned.config.steps, planned.test.best_step


def read_record(path: Path) -> Record:
    """The record at path.

    Raises:
      UserError: it is no record.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} is not JSON ({error}); make the record again or delete it"
        ) from error
    try:
        record = from_json(found)
    except UserError as error:
        raise UserError(
            f"{path} is no record: {error}; make the record again or delete it"
        ) from error
    return dataclasses.replace(record, path=path)


def whole_record(path: Path) -> Record | None:
    """The record at path if it is complete, with its counts beside it; else None."""
    if not (path.exists() and counts_path(path).exists()):
        return None
    try:
        record = read_record(path)
        right = read_counts(path)
    except UserError:
        return None
    return record if right.shape == (record.config.episodes,) else None


def write_record(path: Path, record: Record) -> None:
    """Writes a record whole or not at all.

    Raises:
      UserError: the file cannot be written.
    """
    write_json(path, to_json(record))


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Writes a JSON file whole or not at all.

    Raises:
      UserError: the file cannot be written.
    """
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))


def write_counts(path: Path, right: np.ndarray) -> None:
    """Writes the number of correct queries of each episode [E] beside the record at path.

    Whole or not at all. With them two methods can be compared episode by episode.

    Raises:
      UserError: the file cannot be written.
    """
    counts = np.rint(right).astype(np.uint8 if right.max() < 255 else np.uint32)
    write_whole(counts_path(path), lambda file: np.save(file, counts, allow_pickle=False))


def read_counts(path: Path) -> np.ndarray:
    """The number of correct queries of each episode [E] in the test of the record at path.

    Raises:
      UserError: there is no such file, or it is not whole.
    """
    try:
        return np.load(counts_path(path), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"cannot read {counts_path(path)}: {error}; make the record again"
        ) from error
