"""A record: what a test measured, and every setting that decided it, as one JSON file.

A record holds its settings itself. Nothing that reads it looks at its command or at today's
recipes: those may change, the record does not. The settings are those that its method reads. One
that is missing was added after the record, which has the value that is its default today.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metalearn.config import Config, in_order
from metalearn.learners.registry import reads
from metalearn.settings import STAGES

# Raised when older files can no longer be read, or older code could not read new files
FORMAT = 2
ELSEWHERE = (*STAGES, "test_norms")  # settings that a record holds in its lineage and its test


@dataclass(frozen=True)
class Evaluation:
    """Which test it was, beyond the settings.

    Attributes:
      norm: where normalisation took its moments from.
      episode_hash: of the list of test episodes, see `metalearn.data.episodes.episode_hash`.
      best_step: the update whose checkpoint was tested, picked by validation.
      statistics: what running statistics were measured on: `training` batches, augmented as in
        training, or `clean` images, as in the first records; without meaning for another `norm`.
    """

    norm: str
    episode_hash: str
    best_step: int
    statistics: str = "training"

    @property
    def normalisation(self) -> str:
        """`batch`, `running`, or `running, clean`: what a table says."""
        clean = self.norm == "running" and self.statistics == "clean"
        return f"{self.norm}, clean" if clean else self.norm


@dataclass(frozen=True)
class Measured:
    """What was measured; accuracies, their intervals and the calibration error as fractions.

    Attributes:
      accuracy, ci95: mean over test episodes, and half the width of its 95 % confidence interval.
      transductive: whether predictions depend on the episode's other queries, by a probe.
      accuracy_before, ci95_before: the same of the first 1,000 episodes before adaptation, None
        where that means nothing.
      ece: expected calibration error.
      valid_accuracy: of the checkpoint tested, on the validation episodes.
      train_wall_s: seconds of training on the machine of the record, without earlier stages.
      tasks_per_s: test episodes a second, compilation included.
      peak_memory_mb: largest peak over training and test, MiB.
    """

    accuracy: float
    ci95: float
    transductive: bool
    accuracy_before: float | None
    ci95_before: float | None
    ece: float
    valid_accuracy: float
    train_wall_s: float
    tasks_per_s: float
    peak_memory_mb: float


@dataclass(frozen=True)
class Stage:
    """An earlier training that this one began from.

    Attributes:
      role: what was taken from it: `init_from` (the body) or `teacher` (its predictions).
      config: its settings.
      lineage: the stages before it.
      train_wall_s: seconds that it took, without the stages before; None where that is not known.
    """

    role: str
    config: Config
    lineage: tuple["Stage", ...] = ()
    train_wall_s: float | None = None


@dataclass(frozen=True)
class Provenance:
    """Where the numbers come from: command, code, machine, images.

    Attributes:
      command: makes the record again.
      commit: of the code, with `+` if it had changes.
      device: accelerator or processor.
      images: digest of the data set's images, empty where it is not known.
      decoder: the library that read them, with its version, where it decides their pixels.
    """

    command: str
    commit: str
    device: str
    images: str = ""
    decoder: str = ""


@dataclass(frozen=True)
class Planned:
    """What is known of a test before it is made; fields as in `Record` and `Provenance`.

    Two tests are the same if their `identity` is: if settings, test, earlier stages and images
    agree.
    """

    config: Config
    test: Evaluation
    lineage: tuple[Stage, ...]
    images: str

    @property
    def identity(self) -> str:
        """A digest of all that makes two tests the same."""
        stages = lineage_to_json(self.lineage, timed=False)
        parts = [settings(self.config), dataclasses.asdict(self.test), stages, self.images]
        return short_digest(parts)


@dataclass(frozen=True)
class Record:
    """One test of one training.

    Attributes:
      config: every setting, of training and of test.
      test: which test it was.
      measured: the results.
      lineage: the trainings before this one, the latest last.
      provenance: where the numbers come from.
      path: the file that it was read from; None before it is written.
    """

    config: Config
    test: Evaluation
    measured: Measured
    lineage: tuple[Stage, ...]
    provenance: Provenance
    path: Path | None = None

    @property
    def planned(self) -> Planned:
        """The test without its results."""
        return Planned(self.config, self.test, self.lineage, self.provenance.images)

    @property
    def identity(self) -> str:
        """Which test it is, see `Planned`."""
        return self.planned.identity

    @property
    def command_identity(self) -> str:
        """The identity without the update that validation picked; one for all runs of a command."""
        test = dataclasses.replace(self.test, best_step=0)
        return dataclasses.replace(self.planned, test=test).identity

    @property
    def pool(self) -> str:
        """What records of one row of a table agree in: all but seeds and normalisation at test."""
        config = dataclasses.replace(self.config, seed=0)
        test = dataclasses.replace(self.test, norm="", best_step=0)
        lineage = tuple(seedless(stage) for stage in self.lineage)
        return Planned(config, test, lineage, self.provenance.images).identity

    @property
    def roles(self) -> set[str]:
        """What this training took from earlier ones."""
        return {stage.role for stage in self.lineage}

    @property
    def external(self) -> bool:
        """Whether the body saw other data than the base classes: it was pre-trained elsewhere."""
        return any(config.weights for config in (self.config, *(s.config for s in self.stages)))

    @property
    def stages(self) -> list[Stage]:
        """All trainings before this one, the first one first."""
        return all_stages(self.lineage)

    @property
    def total_wall_s(self) -> float:
        """Seconds of this training and of those before it, as far as they are known."""
        return self.measured.train_wall_s + sum(s.train_wall_s or 0.0 for s in self.stages)


def settings(config: Config, training: bool = False) -> dict[str, Any]:
    """The settings that the config's method reads, without those held elsewhere in a record.

    With training, only those that the trained weights depend on.
    """
    found = config.training() if training else dataclasses.asdict(config)
    held_here = [name for name in in_order(found) if name not in ELSEWHERE]
    return {name: found[name] for name in held_here if reads(config.method, name)}


def to_json(record: Record) -> dict[str, Any]:
    """The record as nested dicts."""
    return {
        "format": FORMAT,
        "config": settings(record.config),
        "test": dataclasses.asdict(record.test),
        "measured": dataclasses.asdict(record.measured),
        "lineage": lineage_to_json(record.lineage),
        "provenance": dataclasses.asdict(record.provenance),
    }


def lineage_to_json(lineage: tuple[Stage, ...], timed: bool = True) -> list[dict[str, Any]]:
    """The stages as nested dicts; with timed, the seconds that each took too."""
    return [_stage_to_json(stage, timed) for stage in lineage]


def _stage_to_json(stage: Stage, timed: bool = True) -> dict[str, Any]:
    before = lineage_to_json(stage.lineage, timed)
    found = {"role": stage.role, "config": settings(stage.config, training=True), "lineage": before}
    return found | ({"train_wall_s": stage.train_wall_s} if timed else {})


def short_digest(parts: list[Any]) -> str:
    """16 hexadecimal digits of the SHA-256 of what JSON can hold."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def seedless(stage: Stage) -> Stage:
    """The stage with seed 0, and those before it."""
    config = dataclasses.replace(stage.config, seed=0)
    return dataclasses.replace(stage, config=config, lineage=tuple(map(seedless, stage.lineage)))


def all_stages(lineage: tuple[Stage, ...]) -> list[Stage]:
    """All trainings of a lineage, the first one first."""
    return [stage for last in lineage for stage in (*all_stages(last.lineage), last)]
