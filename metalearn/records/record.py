"""A record: what a test measured, and every setting that decided it, as one JSON file.

A record holds its settings itself. Nothing that reads one looks at its command, or at today's
recipes: those may change, the record does not. The settings are those that its method reads; one
that is missing is newer than the record, and had the value that is its default today.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from metalearn.config import RENAMED, Config, in_order
from metalearn.errors import UserError
from metalearn.learners.registry import reads

FORMAT = (
    2  # raised when files of before can no longer be read, or this code could not read new ones
)
# Settings that name the folder of an earlier run; what that was is in the lineage.
STAGES = ("init_from", "teacher")
ELSEWHERE = (*STAGES, "test_norms")  # what a record tells in its lineage and in its test
SHARES = ("accuracy", "ci95", "ece", "valid_accuracy")
TIMES = ("train_wall_s", "tasks_per_s", "peak_memory_mb")


@dataclass(frozen=True)
class Evaluation:
    """Which test it was, beside the settings.

    Attributes:
      norm: where normalisation took its moments from.
      episode_hash: of the list of test episodes, see `metalearn.data.episodes.episode_hash`.
      best_step: the update whose checkpoint was tested, picked by validation.
      statistics: what running statistics were measured on: `training` batches, augmented as in
        training, or `clean` images, as in the first records; of no meaning where `norm` is another.
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
    """What was measured: accuracies, their intervals and the calibration error as fractions.

    Attributes:
      accuracy, ci95: mean over test episodes, and half the width of its 95 % confidence interval.
      transductive: whether a prediction depended on the episode's other queries; a probe found out.
      accuracy_before, ci95_before: the same before adaptation, None where that means nothing.
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
    """Where the numbers come from: the command, the code, the machine, the images.

    Attributes:
      command: what makes the record again.
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
    """What is known of a test before it is made; as in `Record` and `Provenance`.

    Two tests are the same where their `identity` is: settings, test, earlier stages and images
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
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Record:
    """One test of one training.

    Attributes:
      config: every setting, of training and of test.
      test: which test it was.
      measured: what came out.
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
        """The test without what came out."""
        return Planned(self.config, self.test, self.lineage, self.provenance.images)

    @property
    def identity(self) -> str:
        """Which test it is, see `Planned`."""
        return self.planned.identity

    @property
    def command_identity(self) -> str:
        """The identity without the update that validation picked: what the same command gives
        again.
        """
        test = dataclasses.replace(self.test, best_step=0)
        return dataclasses.replace(self.planned, test=test).identity

    @property
    def pool(self) -> str:
        """What records of one row of a table agree in: all but seeds and normalisation at test."""
        config = dataclasses.replace(self.config, seed=0)
        test = dataclasses.replace(self.test, norm="", best_step=0)
        lineage = tuple(_seedless(stage) for stage in self.lineage)
        return Planned(config, test, lineage, self.provenance.images).identity

    @property
    def roles(self) -> set[str]:
        """What this training took from earlier ones."""
        return {stage.role for stage in self.lineage}

    @property
    def stages(self) -> list[Stage]:
        """All trainings before this one, the first one first."""
        return _flat(self.lineage)

    @property
    def total_wall_s(self) -> float:
        """Seconds of this training and of those before it, as far as they are known."""
        return self.measured.train_wall_s + sum(s.train_wall_s or 0.0 for s in self.stages)


def settings(config: Config, training: bool = False) -> dict[str, Any]:
    """The settings that the config's method reads, but for those told elsewhere in a record.

    training leaves out those that do not touch the trained weights.
    """
    found = config.training() if training else dataclasses.asdict(config)
    told_here = [name for name in in_order(found) if name not in ELSEWHERE]
    return {name: found[name] for name in told_here if reads(config.method, name)}


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


def from_json(found: Any) -> Record:
    """The record that `to_json` made these dicts of.

    Raises:
      UserError: a part is missing or cannot be right, or the record is of an older version; without
        the file's name.
    """
    if not isinstance(found, dict):
        raise UserError("it is no object")
    if "config" not in found and "command" in found:
        raise UserError(
            f"it is of an older version, which kept no settings; make it again: {found['command']}"
        )
    if found.get("format") != FORMAT:
        raise UserError(f"it is of format {found.get('format')}, and this version reads {FORMAT}")
    parts = {name: _part(found, name) for name in ("config", "test", "measured", "provenance")}
    return Record(
        config_from_json(parts["config"]),
        _typed(Evaluation, parts["test"]),
        _checked(_typed(Measured, parts["measured"])),
        tuple(_stage_from_json(stage) for stage in _list(found, "lineage")),
        _typed(Provenance, parts["provenance"]),
    )


def config_from_json(found: Mapping[str, Any]) -> Config:
    """A config from some of its settings, by today's names or older ones, the others at their
    defaults.

    Raises:
      UserError: a setting that there is not, or a value of another type.
    """
    return _typed(Config, {RENAMED.get(name, name): value for name, value in found.items()})


def lineage_to_json(lineage: tuple[Stage, ...], timed: bool = True) -> list[dict[str, Any]]:
    """The stages as nested dicts; timed with the seconds that each took."""
    return [_stage_to_json(stage, timed) for stage in lineage]


def lineage_from_json(found: Any) -> tuple[Stage, ...]:
    """The stages that `lineage_to_json` made these dicts of.

    Raises:
      UserError: as `from_json`.
    """
    return tuple(_stage_from_json(stage) for stage in _list({"lineage": found}, "lineage"))


def _stage_to_json(stage: Stage, timed: bool = True) -> dict[str, Any]:
    before = lineage_to_json(stage.lineage, timed)
    found = {"role": stage.role, "config": settings(stage.config, training=True), "lineage": before}
    return found | ({"train_wall_s": stage.train_wall_s} if timed else {})


def _stage_from_json(found: Any) -> Stage:
    if not isinstance(found, dict) or found.get("role") not in STAGES:
        raise UserError("wrong or missing lineage")
    seconds = found.get("train_wall_s")
    if seconds is not None and not _number(seconds):
        raise UserError("wrong or missing train_wall_s of its lineage")
    before = tuple(_stage_from_json(stage) for stage in _list(found, "lineage"))
    return Stage(found["role"], config_from_json(_part(found, "config")), before, seconds)


def _seedless(stage: Stage) -> Stage:
    config = dataclasses.replace(stage.config, seed=0)
    return dataclasses.replace(stage, config=config, lineage=tuple(map(_seedless, stage.lineage)))


def _flat(lineage: tuple[Stage, ...]) -> list[Stage]:
    return [stage for last in lineage for stage in (*_flat(last.lineage), last)]


def _part(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = found.get(name)
    if not isinstance(part, dict):
        raise UserError(f"wrong or missing {name}")
    return part


def _list(found: Mapping[str, Any], name: str) -> list:
    part = found.get(name)
    if not isinstance(part, list):
        raise UserError(f"wrong or missing {name}")
    return part


def _typed(kind: type, found: Mapping[str, Any]) -> Any:
    """A dataclass from a dict, each value of the type that the field says."""
    known = {f.name: f for f in fields(kind)}
    for name in found:
        if name not in known:
            raise UserError(f"unknown {name}: it is of another version")
    for name, f in known.items():
        required = f.default is dataclasses.MISSING
        if name not in found and required:
            raise UserError(f"wrong or missing {name}")
        if name in found and not _is(found[name], f.type):
            raise UserError(f"wrong or missing {name}")
    return kind(**found)


def _is(value: Any, kind: Any) -> bool:
    """Whether a value read from JSON is of a field's type; text has one line."""
    if kind == float | None:
        return value is None or _number(value)
    if kind is float:
        return _number(value)
    if kind is str:
        return isinstance(value, str) and "\n" not in value
    return type(value) is kind


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _checked(measured: Measured) -> Measured:
    """The measurements, if shares are between 0 and 1 and times are not negative."""
    for name in (*SHARES, "accuracy_before", "ci95_before"):
        value = getattr(measured, name)
        if value is not None and not 0 <= value <= 1:
            raise UserError(f"wrong or missing {name}")
    for name in TIMES:
        if getattr(measured, name) < 0:
            raise UserError(f"wrong or missing {name}")
    return measured
