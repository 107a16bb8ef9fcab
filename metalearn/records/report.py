"""What a table of results is made of: records grouped over seeds, and the published numbers beside
them.
"""

import csv
import io
from itertools import zip_longest
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

from metalearn.errors import UserError
from metalearn.records.record import Record
from metalearn.records.store import dataset_of, read_record

# Always shown, in this order; others follow by name.
DATASETS = ("omniglot", "cifar_fs", "fc100", "mini_imagenet")


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
        return any(
            word in self.protocol for word in ("external data", "pre-trained", "train + validation")
        )

    @property
    def number(self) -> str:
        """`48.70 ± 1.84`."""
        return self.accuracy + (
            f" ± {self.ci95}" if self.ci95 else f" (± {self.spread})" if self.spread else ""
        )


class Row(NamedTuple):
    """One line of the table: records that differ in seed, tested inductively and transductively;
    one may be empty.
    """

    inductive: list[Record]
    transductive: list[Record]

    @property
    def records(self) -> list[Record]:
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
    return (
        None
        if row.method and row.backbone and row.source
        else "method, backbone and source must not be empty"
    )


def read_records(root: Path) -> list[Record]:
    """Every record `<root>/<dataset>/*.json`, by path.

    Raises:
      UserError: a file that is no record.
    """
    # benchmarks/ has measurements of speed, not of accuracy
    paths = [path for path in sorted(root.glob("*/*.json")) if path.parent.name != "benchmarks"]
    return [read_record(path) for path in paths]


def make_rows(records: list[Record]) -> list[Row]:
    """Records of one dataset as lines of its table, sorted.

    Raises:
      UserError: two records of the same test of the same training.
    """
    groups: dict[tuple, dict[tuple[bool, str], dict[int, Record]]] = {}
    for record in records:
        norms = groups.setdefault((*_order(record), record.pool), {})
        seeds = norms.setdefault((record.measured.transductive, record.test.norm), {})
        other = seeds.setdefault(record.config.seed, record)
        if other is not record:
            raise UserError(f"{other.path} and {record.path} record the same test; delete one")
    rows = []
    for _, norms in sorted(groups.items()):
        inductive, transductive = (_side(norms, side) for side in (False, True))
        pairs = zip_longest(inductive, transductive, fillvalue=list[Record]())
        rows += [Row(*pair) for pair in pairs]
    return rows


def _order(record: Record) -> tuple:
    """What lines of a table are sorted by, before what only tells them apart."""
    config = record.config
    head = config.transform, config.support_copies
    stages = tuple(stage.config.steps for stage in record.stages)
    training = config.train_ways, config.train_shots, config.norm, config.steps
    test = (
        config.test_inner_steps,
        config.precision,
        config.queries,
        config.episodes,
        config.eval_seed,
    )
    return (
        config.ways,
        config.shots,
        config.method,
        config.backbone,
        *training,
        *test,
        *head,
        stages,
    )


def _side(
    norms: dict[tuple[bool, str], dict[int, Record]], transductive: bool
) -> list[list[Record]]:
    """The records of each normalisation that was transductive, or of each that was not."""
    return [
        list(seeds.values()) for (kind, _), seeds in sorted(norms.items()) if kind is transductive
    ]


def known_as(record: Record) -> str:
    """The record's method by its name in published.csv, where some variants have one of their
    own.
    """
    method = record.config.method
    if method == "metaoptnet":
        return "metaoptnet-rr" if record.config.head == "ridge" else "metaoptnet-svm"
    if method == "rfs" and "teacher" in record.roles:
        return "rfs-distill"
    return method


def beside(row: Row, published: list[Published]) -> list[Published]:
    """The published numbers to set a row against, the one to measure by first.

    Ways, shots and method must agree, and the backbone as far as its source names it; where none
    does, its family.
    """
    first = row.records[0]
    ours = first.config
    same = (ours.dataset, known_as(first), str(ours.ways), str(ours.shots))
    found = [p for p in published if (p.dataset, p.method, p.ways, p.shots) == same]

    def distance(theirs: str) -> int:
        mine = ours.backbone
        if f"{mine}-".startswith(f"{theirs}-") or f"{theirs}-".startswith(f"{mine}-"):
            return 0
        return (
            1
            if mine.split("-")[0] == theirs.split("-")[0]
            else 2
            if theirs in ("cnn", "unstated")
            else 3
        )

    nearest = min((distance(p.backbone) for p in found), default=3)
    near = [p for p in found if distance(p.backbone) == nearest < 3]
    return sorted(near, key=lambda p: (p.apart, p.kind != "published"))  # else as in the file


def mean(records: list[Record], field: str) -> float | None:
    """Mean over seeds of something measured, None if there is nothing to average."""
    values = [getattr(r.measured, field) for r in records]
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def between_seeds(records: list[Record]) -> float | None:
    """Standard deviation of the accuracy between seeds, None for one seed."""
    return stdev(r.measured.accuracy for r in records) if len(records) > 1 else None


def differences(row: Row, theirs: list[Published]) -> dict[str, float]:
    """Ours minus theirs, in points, by side: minus the first that was tested as that side, or may
    have been.
    """
    found = {}
    for side, records, other in (
        ("inductive", row.inductive, "yes"),
        ("transductive", row.transductive, "no"),
    ):
        value = mean(records, "accuracy")
        fitting = [p for p in theirs if p.transductive != other and not p.apart]
        if value is not None and fitting:
            found[side] = 100 * value - float(fitting[0].accuracy)
    return found


def load(root: Path) -> tuple[dict[str, list[Row]], list[Published]]:
    """The rows of each dataset, in the order of the tables, and all published numbers."""
    published = read_published(root / "published.csv")
    records = read_records(root)
    found = {p.dataset for p in published} | {dataset_of(r) for r in records}
    names = [*DATASETS, *sorted(found - {*DATASETS})]
    return {
        name: make_rows([r for r in records if dataset_of(r) == name]) for name in names
    }, published
