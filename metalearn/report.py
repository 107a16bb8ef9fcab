"""What a table of results is made of: records grouped over seeds, and the published numbers beside them."""

import csv
import io
import json
import re
import shlex
from dataclasses import asdict, fields
from itertools import zip_longest
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

from absl import flags

from metalearn.config import DEFINE, Config
from metalearn.errors import UserError
from metalearn.presets import preset
from metalearn.record import TEXT, WHOLE, wrong_field

# Records that agree in these, and in the flags below, differ in seed and in the normalisation at test alone.
SAME = (
    "ways shots method backbone train_ways train_shots train_norm steps test_inner_steps precision "
    "queries episodes eval_seed episode_hash"
).split()
SAME_HEAD = ("transform", "support_copies")  # and in these, which records of long ago lack
NOT_RECIPE = {"test_norms", "devices", "tasks_per_device", "seeds", *SAME_HEAD, *WHOLE, *TEXT}


class Published(NamedTuple):
    """A row of published.csv; accuracy and ci95 stay as their source writes them."""

    dataset: str
    method: str
    backbone: str
    ways: str
    shots: str
    accuracy: str
    ci95: str
    spread: str
    transductive: str
    kind: str
    protocol: str
    source: str

    @property
    def apart(self) -> bool:
        """Trained on more than the training classes' episodes: not to be measured against."""
        return any(word in self.protocol for word in ("external data", "pre-trained", "train + validation"))

    @property
    def number(self) -> str:
        """`48.70 ± 1.84`."""
        return self.accuracy + (f" ± {self.ci95}" if self.ci95 else f" (± {self.spread})" if self.spread else "")


class Row(NamedTuple):
    """One line of the table: records that differ in seed, tested inductively and transductively; one may be empty."""

    inductive: list[dict]
    transductive: list[dict]

    @property
    def records(self) -> list[dict]:
        """All of them."""
        return self.inductive + self.transductive


def read_published(path: Path) -> list[Published]:
    """The rows of published.csv.

    Raises:
      UserError: no such file, or a row that is not as it should be.
    """
    try:
        header, *lines = csv.reader(io.StringIO(path.read_text(encoding="utf-8")), strict=True)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}; it comes with the repository") from error
    if tuple(header) != Published._fields:
        raise UserError(f"{path}: the first line must be {','.join(Published._fields)}")
    for number, line in enumerate(lines, 2):
        wrong = _wrong_line(line)
        if wrong:
            raise UserError(f"{path}, line {number}: {wrong}; put it right")
    return [Published(*line) for line in lines]


def _wrong_line(line: list[str]) -> str | None:
    if len(line) != len(Published._fields):
        return f"{len(line)} cells, not {len(Published._fields)}"
    row = Published(*line)
    if not (row.ways.isdecimal() and row.shots.isdecimal()):
        return "ways and shots must be whole numbers"
    for name, value in (("accuracy", row.accuracy), ("ci95", row.ci95 or "0")):
        try:
            fine = 0 <= float(value) <= 100
        except ValueError:
            fine = False
        if not fine:
            return f"{name} '{value}' is no percentage"
    if row.transductive not in ("yes", "no", "unknown") or row.kind not in ("published", "rerun"):
        return "transductive is yes, no or unknown, kind is published or rerun"
    return None if row.method and row.backbone and row.source else "method, backbone and source must not be empty"


def read_records(root: Path) -> list[dict]:
    """Every record `<root>/<dataset>/*.json`, by path, which it holds as `path`, and with what led to it (`_stages`).

    Raises:
      UserError: a file that is no record.
    """
    records = []
    for path in sorted(root.glob("*/*.json")):
        if path.parent.name == "benchmarks":  # measurements of speed, not of accuracy
            continue
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{path} is not JSON ({error}); make the record again or delete it") from error
        wrong = wrong_field(record) if isinstance(record, dict) else "everything: it is no object"
        if wrong:
            raise UserError(f"{path} is no record: wrong or missing {wrong}; make the record again or delete it")
        records.append(record | {"path": str(path)})
    made = {r["command"]: r for r in records}
    return [record | _stages(record, made) for record in records]


def _stages(record: dict, made: dict[str, dict]) -> dict:
    """What a training and those that it began from (`--init_from`, `--teacher`) took, the first one first.

    stages: updates of each; None where no record tells. total_wall_s: seconds of all, as far as records tell.
    """
    trainings = [c for c in record["command"].split(" && ") if " experiments.evaluate" not in c]
    earlier = [made.get(" && ".join(trainings[:i])) for i in range(1, len(trainings))]
    return {
        "stages": [r and r["steps"] for r in earlier] + [record["steps"]],
        "total_wall_s": sum(r["train_wall_s"] for r in earlier if r) + record["train_wall_s"],
    }


def recipe(command: str, method: str) -> frozenset[str]:
    """The settings of a training command that no field of a record tells, if not as the method's recipe has them.

    Two runs pooled as seeds must agree in them: `lr=0.1`, `rotation=True`. method is that of a command without one.
    """
    words, known = shlex.split(command)[2:] or [""], flags.FlagValues()
    known.set_gnu_getopt(True)
    for f in fields(Config):
        DEFINE[type(f.default)](f.name, None, "", flag_values=known)
    try:
        others = re.split(" --?", " ".join(known(words, known_only=True)))[1:]
    except flags.Error:  # a flag was something else once
        return frozenset(words)
    given = {f.name: known[f.name].value for f in fields(Config) if known[f.name].value is not None}
    usual = asdict(Config()) | {"method": method}
    usual |= preset(*((usual | given)[name] for name in ("method", "dataset", "shots")))
    found = [f"{name}={value}" for name, value in given.items() if value != usual[name]]
    unknown = [flag for flag in found + others if re.split("[ =]", flag)[0] not in NOT_RECIPE]
    return frozenset(re.sub(r"-seed\d+$", "", flag) for flag in unknown)


def trained_by(record: dict) -> frozenset[str]:
    """The recipe of the command that trained it: of the last that is no test."""
    commands = [c for c in record["command"].split(" && ") if " experiments.evaluate" not in c]
    return recipe(commands[-1], record["method"]) if commands else frozenset()


def make_rows(records: list[dict]) -> list[Row]:
    """Records of one dataset as lines of its table, sorted.

    Raises:
      UserError: two records of the same test of the same training.
    """
    groups: dict[tuple, dict[tuple, dict[int, dict]]] = {}
    for record in records:
        same = *(record[k] for k in SAME), *(record.get(k) for k in SAME_HEAD), tuple(sorted(trained_by(record)))
        seeds = groups.setdefault(same, {}).setdefault((record["transductive"], record["norm"]), {})
        other = seeds.setdefault(record["seed"], record)
        if other is not record:
            raise UserError(f"{other['path']} and {record['path']} record the same test; delete one")
    rows = []
    for _, norms in sorted(groups.items()):
        sides = [[list(s.values()) for (t, _), s in sorted(norms.items()) if t is side] for side in (False, True)]
        rows += [Row(i, t) for i, t in zip_longest(*sides, fillvalue=[])]
    return rows


def known_as(record: dict) -> str:
    """The record's method by its name in published.csv, where some variants have one of their own."""
    method: str = record["method"]
    settings = trained_by(record)
    if method == "metaoptnet":
        return "metaoptnet-rr" if "head=ridge" in settings else "metaoptnet-svm"
    if method == "rfs" and any(setting.startswith("teacher=") for setting in settings):
        return "rfs-distill"
    return method


def beside(row: Row, published: list[Published]) -> list[Published]:
    """The published numbers to set a row against, the one to measure by first.

    Ways, shots and method must agree, and the backbone as far as its source names it; where none does, its family.
    """
    ours = row.records[0]
    same = (ours["dataset"], known_as(ours), str(ours["ways"]), str(ours["shots"]))
    found = [p for p in published if (p.dataset, p.method, p.ways, p.shots) == same]

    def distance(theirs: str) -> int:
        mine = ours["backbone"]
        if f"{mine}-".startswith(f"{theirs}-") or f"{theirs}-".startswith(f"{mine}-"):
            return 0
        return 1 if mine.split("-")[0] == theirs.split("-")[0] else 2 if theirs in ("cnn", "unstated") else 3

    nearest = min((distance(p.backbone) for p in found), default=3)
    near = [p for p in found if distance(p.backbone) == nearest < 3]
    return sorted(near, key=lambda p: (p.apart, p.kind != "published"))  # else as in the file


def mean(records: list[dict], field: str) -> float | None:
    """Mean over seeds, None if there is nothing to average."""
    values = [r[field] for r in records if r[field] is not None]
    return fmean(values) if values else None


def between_seeds(records: list[dict]) -> float | None:
    """Standard deviation of the accuracy between seeds, None for one seed."""
    return stdev(r["accuracy"] for r in records) if len(records) > 1 else None


def differences(row: Row, theirs: list[Published]) -> dict[str, float]:
    """Ours minus theirs, in points, by side: minus the first that was tested as that side, or may have been."""
    found = {}
    for side, records, other in (("inductive", row.inductive, "yes"), ("transductive", row.transductive, "no")):
        value = mean(records, "accuracy")
        fitting = [p for p in theirs if p.transductive != other and not p.apart]
        if value is not None and fitting:
            found[side] = 100 * value - float(fitting[0].accuracy)
    return found
