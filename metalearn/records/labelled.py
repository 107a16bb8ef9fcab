"""Records of classifiers of fixed classes: settings, test, what was measured, origin."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.evaluation.scores import Scores
from metalearn.files import write_whole
from metalearn.records.names import PUBLISHED_IMAGES, body_of, file_name, tested_on
from metalearn.records.parse import config_from_json, lineage_from_json, part_of, typed
from metalearn.records.record import FORMAT, Provenance, Stage, lineage_to_json, settings
from metalearn.records.store import counts_path, write_json

FOLDER = "labelled"  # of the records, below that of all results
# Datasets whose official files are verified: their names identify the images.
OFFICIAL = ("cifar10", "cifar100", "mnist", "fashion_mnist", "usps", "grocery", "grocery_iconic")
KIND = "labelled"  # in the file, as few-shot records have none


@dataclass(frozen=True)
class LabelledTest:
    """Which test it was, beyond the settings.

    Attributes:
      images_hash: of the positions of the images that were trained on and tested.
      images: of the test.
      best_step: the update whose checkpoint was tested; 0 of a probe.
    """

    images_hash: str
    images: int
    best_step: int


@dataclass(frozen=True)
class LabelledMeasured:
    """What was measured; all of the test images, but for times and sizes.

    Attributes:
      accuracy: share of images that are right.
      ci95_low, ci95_high: its 95 % bootstrap interval over images.
      macro_precision, macro_recall, macro_f1: means over classes; the recall is also called
        balanced accuracy.
      ece: expected calibration error.
      loss: mean cross-entropy, nats.
      accuracy_before, macro_recall_before: before any training; None of a probe.
      source_accuracy_before, source_accuracy: of the classes that the body was trained on
        before, by the classifier that it had for them; None where they were not tested.
      valid_accuracy: of the checkpoint tested; None where there are no images for it.
      trained_parameters: numbers that were trained.
      parameters: of the whole classifier.
      adapt_s: seconds of training or fitting, given the features.
      peak_memory_mb: largest peak, MiB.
    """

    accuracy: float
    ci95_low: float
    ci95_high: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    ece: float
    loss: float
    accuracy_before: float | None
    macro_recall_before: float | None
    valid_accuracy: float | None
    trained_parameters: int
    parameters: int
    adapt_s: float
    peak_memory_mb: float
    source_accuracy_before: float | None = None
    source_accuracy: float | None = None


@dataclass(frozen=True)
class LabelledRecord:
    """One test of one classifier.

    Attributes:
      config: every setting.
      test: which test it was.
      measured: the results.
      lineage: the trainings before this one, the latest last.
      provenance: where the numbers come from.
      path: the file that it was read from; None before it is written.
    """

    config: Config
    test: LabelledTest
    measured: LabelledMeasured
    lineage: tuple[Stage, ...]
    provenance: Provenance
    path: Path | None = None

    @property
    def identity(self) -> str:
        """A digest of all that makes two tests the same, but for the update that was picked."""
        stages = lineage_to_json(self.lineage, timed=False)
        images = [self.test.images_hash, self.provenance.images]
        return _digest([settings(self.config), images, stages])

    @property
    def pool(self) -> str:
        """What records of one row of a table agree in: all but seeds, and the images these draw."""
        config = dataclasses.replace(self.config, seed=0)
        stages = [_seedless(stage) for stage in lineage_to_json(self.lineage, timed=False)]
        return _digest([settings(config), self.provenance.images, stages])

    @property
    def external(self) -> bool:
        """Whether the body saw other data: it was pre-trained elsewhere."""
        stages = [stage.config for stage in self.lineage]
        return any(config.weights for config in (self.config, *stages))


def _seedless(stage: dict[str, Any]) -> dict[str, Any]:
    before = [_seedless(one) for one in stage["lineage"]]
    return stage | {"config": stage["config"] | {"seed": 0}, "lineage": before}


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def measured_of(scores: Scores, **others: Any) -> LabelledMeasured:
    """What is kept of scores, with what else was measured."""
    names = {f.name for f in dataclasses.fields(LabelledMeasured)} & set(vars(scores))
    return LabelledMeasured(**{name: getattr(scores, name) for name in names}, **others)


def labelled_to_json(record: LabelledRecord) -> dict[str, Any]:
    """The record as nested dicts."""
    return {
        "format": FORMAT,
        "kind": KIND,
        "config": settings(record.config),
        "test": dataclasses.asdict(record.test),
        "measured": dataclasses.asdict(record.measured),
        "lineage": lineage_to_json(record.lineage),
        "provenance": dataclasses.asdict(record.provenance),
    }


def labelled_from_json(found: Any) -> LabelledRecord:
    """The record that `labelled_to_json` made these dicts of.

    Raises:
      UserError: a part is missing or has an impossible value, or the record is of another kind. The
        message does not name the file: the caller knows it.
    """
    if not isinstance(found, dict) or found.get("kind") != KIND or found.get("format") != FORMAT:
        raise UserError(f"it is no record of kind {KIND}, format {FORMAT}")
    return LabelledRecord(
        config_from_json(part_of(found, "config")),
        typed(LabelledTest, part_of(found, "test")),
        typed(LabelledMeasured, part_of(found, "measured")),
        lineage_from_json(found.get("lineage")),
        typed(Provenance, part_of(found, "provenance")),
    )


def labelled_dataset(record: LabelledRecord) -> str:
    """`grocery`, or `labelled-1a2b3c4d` where only the images' digest identifies the dataset."""
    name = tested_on(record.config)
    if name in (*PUBLISHED_IMAGES, *OFFICIAL) or not record.provenance.images:
        return name
    return f"{name}-{record.provenance.images[:8]}"


def labelled_slug(config: Config) -> str:
    """`probe-ridge-efficientnet-lite0-160px-5labels-seed0`: which run of a dataset it is."""
    kind = f"{config.method}-{config.probe}" if config.method == "probe" else config.method
    labels = f"{config.labels}labels" if config.labels else "all"
    split = "" if config.classes == Config.classes else f"-{config.classes}"
    init = "init-" if config.init_from else ""
    return f"{kind}-{init}{body_of(config)}-{labels}{split}-seed{config.seed}"


def labelled_workdir(config: Config) -> Path:
    """`runs/<dataset>-<slug>`, the folder of a run without --workdir."""
    return Path("runs") / f"{file_name(config.dataset)}-{labelled_slug(config)}"


def labelled_path(root: Path, record: LabelledRecord) -> Path:
    """`<root>/labelled/<dataset>/<slug>.json`, ending with -2, -3, … if another has the name."""
    folder = Path(root) / FOLDER / file_name(labelled_dataset(record))
    name = labelled_slug(record.config)
    for number in count(1):
        path = folder / f"{name}{f'-{number}' if number > 1 else ''}.json"
        if not path.exists() or read_labelled(path).identity == record.identity:
            return path
    raise AssertionError


def read_labelled(path: Path) -> LabelledRecord:
    """The record at path.

    Raises:
      UserError: it is no record.
    """
    try:
        record = labelled_from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, UserError) as error:
        raise UserError(
            f"{path} is no record: {error}; make the record again or delete it"
        ) from error
    return dataclasses.replace(record, path=path)


def read_all_labelled(root: Path) -> list[LabelledRecord]:
    """Every record `<root>/labelled/<dataset>/*.json`, in the order of their paths.

    Raises:
      UserError: a file that is no record.
    """
    return [read_labelled(path) for path in sorted((Path(root) / FOLDER).glob("*/*.json"))]


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
    write_json(path, labelled_to_json(record))


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
