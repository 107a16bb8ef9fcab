"""Records read from JSON, every value checked for its type and its range."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args, get_origin

from metalearn.config import RENAMED, Config
from metalearn.errors import UserError
from metalearn.records.record import (
    FORMAT,
    Evaluation,
    Measured,
    Provenance,
    Record,
    Stage,
)
from metalearn.settings import STAGES

SHARES = ("accuracy", "ci95", "ece", "valid_accuracy")
TIMES = ("train_wall_s", "tasks_per_s", "peak_memory_mb")


def from_json(found: Any) -> Record:
    """The record that `to_json` made these dicts of.

    Raises:
      UserError: a part is missing or has an impossible value, or the record is of an older version.
        The message does not name the file: the caller knows it.
    """
    if not isinstance(found, dict):
        raise UserError("it is no object")
    if "config" not in found and "command" in found:
        raise UserError(
            f"it is of an older version, which kept no settings; make it again: {found['command']}"
        )
    if found.get("format") != FORMAT:
        raise UserError(f"it is of format {found.get('format')}, and this version reads {FORMAT}")
    parts = {name: part_of(found, name) for name in ("config", "test", "measured", "provenance")}
    return Record(
        config_from_json(parts["config"]),
        typed(Evaluation, parts["test"]),
        _checked(typed(Measured, parts["measured"])),
        tuple(_stage_from_json(stage) for stage in _list(found, "lineage")),
        typed(Provenance, parts["provenance"]),
    )


def config_from_json(found: Mapping[str, Any]) -> Config:
    """A config from some of its settings, by today's names or older ones; others are defaults.

    Raises:
      UserError: an unknown setting, or a value of another type.
    """
    return typed(Config, {RENAMED.get(name, name): value for name, value in found.items()})


def lineage_from_json(found: Any) -> tuple[Stage, ...]:
    """The stages that `lineage_to_json` made these dicts of.

    Raises:
      UserError: as `from_json`.
    """
    return tuple(_stage_from_json(stage) for stage in _list({"lineage": found}, "lineage"))


def _stage_from_json(found: Any) -> Stage:
    if not isinstance(found, dict) or found.get("role") not in STAGES:
        raise UserError("wrong or missing lineage")
    seconds = found.get("train_wall_s")
    if seconds is not None and not _number(seconds):
        raise UserError("wrong or missing train_wall_s of its lineage")
    before = tuple(_stage_from_json(stage) for stage in _list(found, "lineage"))
    return Stage(found["role"], config_from_json(part_of(found, "config")), before, seconds)


def part_of(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object of this name.

    Raises:
      UserError: there is none.
    """
    part = found.get(name)
    if not isinstance(part, dict):
        raise UserError(f"wrong or missing {name}")
    return part


def _list(found: Mapping[str, Any], name: str) -> list:
    part = found.get(name)
    if not isinstance(part, list):
        raise UserError(f"wrong or missing {name}")
    return part


def typed(kind: type, found: Mapping[str, Any]) -> Any:
    """A dataclass from a dict, each value of the type that the field says.

    Raises:
      UserError: an unknown or missing name, or a value of another type.
    """
    known = {f.name: f for f in fields(kind)}
    for name in found:
        if name not in known:
            raise UserError(f"unknown {name}: it is of another version")
    for name, f in known.items():
        required = dataclasses.MISSING is f.default is f.default_factory
        if name not in found and required:
            raise UserError(f"wrong or missing {name}")
        if name in found and not _is(found[name], f.type):
            raise UserError(f"wrong or missing {name}")
    return kind(**found)


def _is(value: Any, kind: Any) -> bool:
    """Whether a value read from JSON is of a field's type; text must have one line."""
    if kind == float | None:
        return value is None or _number(value)
    if kind is float:
        return _number(value)
    if kind is str:
        return isinstance(value, str) and "\n" not in value
    if get_origin(kind) is list:
        (inner,) = get_args(kind)
        return type(value) is list and all(_is(each, inner) for each in value)
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
