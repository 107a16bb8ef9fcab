"""Records of classifiers of fixed classes: settings, test, what was measured, origin."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metalearn.config import Config
from metalearn.evaluation.scores import Scores
from metalearn.records.record import (
    Provenance,
    Stage,
    all_stages,
    lineage_to_json,
    seedless,
    settings,
    short_digest,
)

SHARES = (
    "accuracy",
    "ci95_low",
    "ci95_high",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "ece",
    "accuracy_before",
    "macro_recall_before",
    "valid_accuracy",
    "source_accuracy_before",
    "source_accuracy",
)


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
        return short_digest([settings(self.config), images, stages])

    @property
    def pool(self) -> str:
        """What records of one row of a table agree in: all but seeds, and the images these draw."""
        config = dataclasses.replace(self.config, seed=0)
        stages = lineage_to_json(tuple(map(seedless, self.lineage)), timed=False)
        return short_digest([settings(config), self.provenance.images, stages])

    @property
    def external(self) -> bool:
        """Whether the body saw other data: it was pre-trained elsewhere."""
        # Of a body that came by several trainings, the weights may be those of the first
        stages = [stage.config for stage in all_stages(self.lineage)]
        return any(config.weights for config in (self.config, *stages))


def measured_of(scores: Scores, **others: Any) -> LabelledMeasured:
    """What is kept of scores, with what else was measured."""
    names = {f.name for f in dataclasses.fields(LabelledMeasured)} & set(vars(scores))
    return LabelledMeasured(**{name: getattr(scores, name) for name in names}, **others)
