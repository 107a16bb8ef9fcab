"""The summary of all tables: each method's accuracies, with published ones beside them."""

from metalearn.records.cells import FROM_BODY, NONE, measured, notes_of
from metalearn.records.names import method_of
from metalearn.records.published import Published
from metalearn.records.record import Record
from metalearn.records.report import DATASETS, Row, beside, mean

SHOTS = (1, 5)
FEWEST = 600  # episodes of a test that counts here
WAYS = 5


def summary(datasets: dict[str, list[Row]], published: list[Published]) -> list[dict[str, str]]:
    """Lines of the table, sorted by method; columns are datasets and shots that have any row.

    Only 5-way tests with 15 queries a class and at least 600 episodes count. A cell is `inductive /
    transductive`, a dash where there is none: of the rows of the plain method (else of a variant),
    without statistics of clean images if there are such, those with most seeds, and of these the
    most accurate. In brackets is a published number for the
    same method, ways, shots and kind of test; one whose kind is unknown stands with the last.
    """
    columns = [
        (name, shots)
        for name in DATASETS
        for shots in SHOTS
        if _usual(datasets.get(name, []), shots)
    ]
    methods = sorted(
        {row.records[0].config.method for name, k in columns for row in _usual(datasets[name], k)}
    )
    lines = []
    for method in methods:
        line = {"method": method}
        for name, shots in columns:
            rows = [
                r for r in _usual(datasets[name], shots) if r.records[0].config.method == method
            ]
            line[f"{name}, {shots}-shot"] = _cell(rows, published)
        lines.append(line)
    return lines


def _usual(rows: list[Row], shots: int) -> list[Row]:
    """The rows of usual tests with this number of shots."""
    return [row for row in rows if _is_usual(row.records[0], shots)]


def _is_usual(record: Record, shots: int) -> bool:
    config = record.config
    fitting = (config.ways, config.shots, config.queries) == (WAYS, shots, 15)
    return fitting and config.episodes >= FEWEST


def _cell(rows: list[Row], published: list[Published]) -> str:
    if not rows:
        return NONE
    sides = {
        "no": [row for row in rows if row.inductive],
        "yes": [row for row in rows if row.transductive],
    }
    found = [_side(kind, some, published, kind == _last(sides)) for kind, some in sides.items()]
    return " / ".join(found)


def _last(sides: dict[str, list[Row]]) -> str:
    """The last kind of test that there is."""
    return [kind for kind, rows in sides.items() if rows][-1]


def _side(kind: str, rows: list[Row], published: list[Published], last: bool) -> str:
    """A row's accuracy by one kind of test, with the published number for that kind.

    Args:
      kind: `yes` for transductive tests, `no` for inductive ones.
      rows: those with such a test.
      published: all published numbers.
      last: whether a published number whose kind is unknown belongs here.
    """
    if not rows:
        return NONE

    def tested(row: Row) -> list[Record]:
        return row.transductive if kind == "yes" else row.inductive

    def rank(row: Row) -> tuple[bool, bool, int, float]:
        records = tested(row)
        (plain, clean) = not _is_variant(records[0]), _is_clean(records[0])
        return plain, not clean, len(records), mean(records, "accuracy") or 0.0

    row = max(rows, key=rank)
    kinds = (kind, "unknown") if last else (kind,)
    fitting = [p for p in beside(row, published) if not p.apart and p.transductive in kinds]
    theirs = min(
        fitting, key=lambda p: (p.kind != "published", p.transductive != kind), default=None
    )
    rerun = "rerun " if theirs and theirs.kind == "rerun" else ""
    return _marked(tested(row)) + (f" ({rerun}{theirs.number})" if theirs else "")


def _marked(records: list[Record]) -> str:
    """`47.12 ± 0.20`, with the summary's footnote marks."""
    first = records[0]
    marks = {
        "ᶜ": _is_clean(first),
        "ᵇ": "init_from" in first.roles,
        "ᵛ": _is_variant(first),
        "¹": len(records) == 1,
    }
    return measured(records) + "".join(mark for mark, holds in marks.items() if holds)


def _is_clean(record: Record) -> bool:
    """Whether its running statistics are of clean images, where training images were augmented."""
    return record.test.normalisation.endswith("clean")


def _is_variant(record: Record) -> bool:
    """Whether its head, its loss or its images are not those of the plain method."""
    notes = [note for note in notes_of(record) if note != FROM_BODY]
    return bool(notes) or method_of(record.config) != record.config.method
