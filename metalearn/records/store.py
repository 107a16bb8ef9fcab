"""Every file of a run and of the records: what it is called, how it is written and read."""

import dataclasses
import json
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.files import write_whole
from metalearn.learners.recipes import CHARACTERS
from metalearn.records.parse import from_json
from metalearn.records.record import Planned, Record, to_json

# Datasets whose images are published: their names identify the images. Others need the digest.
PUBLISHED_IMAGES = ("omniglot", "cifar_fs", "fc100")
# Copies of each support image in a method's recipe for photographs; 1 in all others
COPIES = {"rfs": 5}


def body_of(config: Config) -> str:
    """`conv4-64`, or `efficientnet-lite0-160px` of a pre-trained body that takes another size."""
    size = f"-{config.input_size}px" if config.input_size else ""
    return f"{config.backbone}{size}"


def variants(config: Config) -> list[str]:
    """How a method's head differs from its recipe: `l2` of simpleshot, `1 copy` of rfs."""
    notes = []
    if config.method == "simpleshot" and config.transform != Config.transform:
        notes.append(config.transform)
    usual = 1 if config.dataset in CHARACTERS else COPIES.get(config.method, 1)
    if config.support_copies != usual:
        notes.append("1 copy" if config.support_copies == 1 else f"{config.support_copies} copies")
    if config.mirror:
        notes.append("mirror")
    return notes


def method_of(config: Config) -> str:
    """`simpleshot`, or `simpleshot (l2)` where its head is a variant."""
    notes = variants(config)
    return f"{config.method} ({', '.join(notes)})" if notes else config.method


def tested_on(config: Config) -> str:
    """`cifar_fs`, or `cifar_fs-to-omniglot` where it was trained on one and tested on another."""
    return f"{config.dataset}-to-{config.test_dataset}" if config.test_dataset else config.dataset


def dataset_of(record: Record) -> str:
    """`cifar_fs`, or `folder-1a2b3c4d` where only the images' digest identifies the dataset."""
    names = [record.config.dataset, *filter(None, [record.config.test_dataset])]
    digests = record.provenance.images.split("+") + [""] * len(names)
    found = [
        name if name in PUBLISHED_IMAGES or not images else f"{name}-{images[:8]}"
        for name, images in zip(names, digests, strict=False)
    ]
    return "-to-".join(found)


def table_of(record: Record) -> str:
    """The table that a record belongs to: that of its dataset, or of its dataset with other data.

    Bodies that were pre-trained on other data never share a table with those trained on the base
    classes alone.
    """
    return dataset_of(record) + (", external data" if record.external else "")


def file_name(dataset: str) -> str:
    """A dataset's name without characters that a file's name cannot have."""
    return dataset.replace(":", "_").replace("/", "_")


def test_slug(config: Config) -> str:
    """`5w1s`, or `5w1s1q-l2`: ways, shots, unusual numbers of queries a class, variants."""
    queries = "" if config.queries == Config.queries else f"{config.queries}q"
    head = [note.replace(" ", "") for note in variants(config)]
    return "-".join([f"{config.ways}w{config.shots}s{queries}", *head])


def run_slug(config: Config, norm: str, roles: set[str] | None = None) -> str:
    """The name of a test of a run, such as `protonet-init-conv4-64-5w1s-running-seed0`.

    It is `<method>-[<training>-…]<backbone>-<test_slug>-<norm>-seed<k>`.

    Args:
      config: settings of training and test.
      norm: of the test.
      roles: what the training took from earlier stages, where the config does not hold it.
    """
    taken = {name for name in ("teacher", "init_from") if getattr(config, name)} | (roles or set())
    training = {
        "svm": config.method == "metaoptnet" and config.head == "svm",
        "contextual": config.contextual,
        "cosine": config.distance == "cosine",
        "pulled": config.proximal_every_step,
        "rotation": config.rotation,
        "distilled": "teacher" in taken,
        "init": "init_from" in taken,
    }
    how = "".join(f"{name}-" for name, given in training.items() if given)
    return f"{config.method}-{how}{body_of(config)}-{test_slug(config)}-{norm}-seed{config.seed}"


def default_workdir(config: Config) -> Path:
    """`runs/<dataset>-<run_slug>`, the folder of a run without --workdir."""
    return Path("runs") / f"{file_name(config.dataset)}-{run_slug(config, config.norm)}"


def record_path(root: Path, record: Record) -> Path:
    """`<root>/<dataset>/<run_slug>.json`, ending with -2, -3, … if another test has the name."""
    name = run_slug(record.config, record.test.norm, record.roles)
    folder = Path(root) / file_name(dataset_of(record))
    for number in count(1):
        path = folder / f"{name}{f'-{number}' if number > 1 else ''}.json"
        if not path.exists() or _same(path, record):
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
