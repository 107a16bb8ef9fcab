"""Files of the records of classifiers of fixed classes: names, reading, writing."""

import dataclasses
import math
from pathlib import Path

import numpy as np

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.files import write_whole
from metalearn.records.kinds import Kind
from metalearn.records.labelled import SHARES, LabelledRecord
from metalearn.records.names import PUBLISHED_IMAGES, body_of, file_name, tested_on
from metalearn.records.record import Provenance
from metalearn.records.store import counts_path

# Datasets whose official files are verified: their names identify the images.
OFFICIAL = ("cifar10", "cifar100", "mnist", "fashion_mnist", "usps", "grocery", "grocery_iconic")


def labelled_dataset(record: LabelledRecord) -> str:
    """The dataset of a record, see `official_name`."""
    return official_name(record.config, record.provenance)


def official_name(config: Config, provenance: Provenance) -> str:
    """`grocery`, or `labelled-1a2b3c4d` where only the images' digest identifies the dataset."""
    name = tested_on(config)
    if name in (*PUBLISHED_IMAGES, *OFFICIAL) or not provenance.images:
        return name
    return f"{name}-{provenance.images[:8]}"


def labelled_slug(config: Config) -> str:
    """`probe-ridge-efficientnet-lite0-160px-5labels-seed0`: which run of a dataset it is."""
    kind = f"{config.method}-{config.probe}" if config.method == "probe" else config.method
    labels = f"{config.labels}labels" if config.labels else "all"
    split = "" if config.learned == Config.learned else f"-{config.learned}"
    init = "init-" if config.init_from else ""
    return f"{kind}-{init}{body_of(config)}-{labels}{split}-seed{config.seed}"


def labelled_workdir(config: Config) -> Path:
    """`runs/<dataset>-<slug>`, the folder of a run without --workdir."""
    return Path("runs") / f"{file_name(config.dataset)}-{labelled_slug(config)}"


def _place(record: LabelledRecord) -> tuple[str, str]:
    return labelled_dataset(record), labelled_slug(record.config)


def _check(record: LabelledRecord) -> None:
    for name, value in dataclasses.asdict(record.measured).items():
        most = 1 if name in SHARES else math.inf
        if value is not None and not 0 <= value <= most:
            raise UserError(f"wrong or missing {name}")


LABELLED = Kind("labelled", LabelledRecord, _place, _check)


def write_labelled(path: Path, record: LabelledRecord, answers: np.ndarray) -> None:
    """Write a record, and beside it the true and the predicted class of each test image.

    Args:
      path: of the record.
      record: to be written.
      answers: int [2,M], true and predicted classes.

    Raises:
      UserError: a file cannot be written.
    """
    small = answers.astype(np.uint8 if answers.max(initial=0) < 256 else np.uint16)
    write_whole(counts_path(path), lambda file: np.save(file, small, allow_pickle=False))
    LABELLED.write(path, record)


def read_answers(path: Path) -> np.ndarray:
    """The true and the predicted class of each test image of the record at path, int [2,M].

    Raises:
      UserError: there is no such file, or it is not whole.
    """
    try:
        return np.load(counts_path(path), allow_pickle=False).astype(np.int64)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"cannot read {counts_path(path)}: {error}; make the record again"
        ) from error
