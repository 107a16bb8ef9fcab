"""The contents of a table of results: records grouped over seeds, and published numbers."""

from itertools import zip_longest
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

from metalearn.config import Config
from metalearn.errors import UserError
from metalearn.records.names import table_of
from metalearn.records.published import Published, read_published
from metalearn.records.record import Record, settings
from metalearn.records.store import read_record

# Always shown, in this order; others follow by name.
DATASETS = ("omniglot", "cifar_fs", "fc100", "mini_imagenet")


class Row(NamedTuple):
    """A line of a table: records that differ in their seeds alone.

    Attributes:
      inductive: the seeds tested inductively; may be empty.
      transductive: those tested transductively; may be empty.
    """

    inductive: list[Record]
    transductive: list[Record]

    @property
    def records(self) -> list[Record]:
        """All of them."""
        return self.inductive + self.transductive


def read_records(root: Path) -> list[Record]:
    """Every record `<root>/<dataset>/*.json`, in the order of their paths.

    Raises:
      UserError: a file that is no record.

    Example: a folder without any; `results` in the repository has some hundreds.

        >>> import tempfile
        >>> from pathlib import Path
        >>> from metalearn.records.report import read_records
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     read_records(Path(folder))
        []
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
    """What the lines of a table are sorted by."""
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
        _special(config),
    )


def _special(config: Config) -> tuple[str, ...]:
    """Settings that are not at their defaults: a new setting then leaves the order as it is."""
    special = settings(config) | {"seed": Config.seed}
    return tuple(f"{k}={v}" for k, v in special.items() if v != getattr(Config, k))


def _side(
    norms: dict[tuple[bool, str], dict[int, Record]], transductive: bool
) -> list[list[Record]]:
    """The records of each normalisation that was transductive, or of each that was not."""
    return [
        list(seeds.values()) for (kind, _), seeds in sorted(norms.items()) if kind is transductive
    ]


def known_as(record: Record) -> str:
    """The record's method as published.csv names it, which has names for some variants."""
    method = record.config.method
    if method == "metaoptnet":
        return "metaoptnet-rr" if record.config.head == "ridge" else "metaoptnet-svm"
    if method == "rfs" and "teacher" in record.roles:
        return "rfs-distill"
    return method


def beside(row: Row, published: list[Published]) -> list[Published]:
    """The published numbers to compare a row with, the best match first.

    Ways, shots and method must agree, and the backbone as far as the source names it; if no source
    has the same one, the nearest by family.
    """
    first = row.records[0]
    ours = first.config
    same = (table_of(first), known_as(first), str(ours.ways), str(ours.shots))
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
    """Mean over seeds of a field of `Measured`; None if no record has it."""
    values = [getattr(r.measured, field) for r in records]
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def between_seeds(records: list[Record]) -> float | None:
    """Standard deviation of the accuracy between seeds; None for one seed."""
    return stdev(r.measured.accuracy for r in records) if len(records) > 1 else None


def differences(row: Row, theirs: list[Published]) -> dict[str, float]:
    """Our accuracy minus the published one, in points, by side.

    Of the published numbers, the first that was tested as that side, or whose test is unknown.
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
    """The rows of each dataset, in the order of the tables, and all published numbers.

    Raises:
      UserError: a file that is no record, or a wrong row of published.csv.
    """
    published = read_published(root / "published.csv")
    records = read_records(root)
    found = {p.dataset for p in published} | {table_of(r) for r in records}
    names = [*DATASETS, *sorted(found - {*DATASETS})]
    return {
        name: make_rows([r for r in records if table_of(r) == name]) for name in names
    }, published
