"""The summary of all tables: each method's best accuracies, with published ones beside them."""

from metalearn.records.cells import NONE, measured
from metalearn.records.published import Published
from metalearn.records.record import Record
from metalearn.records.report import DATASETS, Row, beside, mean

SHOTS = (1, 5)
FEWEST = 600  # episodes of a test that counts here
WAYS = 5


def summary(datasets: dict[str, list[Row]], published: list[Published]) -> list[dict[str, str]]:
    """Lines of the table, sorted by method; columns are datasets and shots that have any row.

    Only 5-way tests with 15 queries a class and at least 600 episodes count. A cell is `inductive /
    transductive`, a dash where there is none, and in brackets the first published number for the
    same method, ways and shots.
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
    sides = ([row.inductive for row in rows], [row.transductive for row in rows])
    best = [_best([side for side in found if side]) for found in sides]
    theirs = next((p for row in rows for p in beside(row, published) if not p.apart), None)
    return " / ".join(best) + (f" ({theirs.number})" if theirs else "")


def _best(sides: list[list[Record]]) -> str:
    """The most accurate of several, as `47.12 ± 0.20`, with the summary's footnote marks."""
    if not sides:
        return NONE
    best = max(sides, key=lambda side: mean(side, "accuracy") or 0.0)
    clean = "ᶜ" if best[0].test.normalisation.endswith("clean") else ""
    body = "ᵇ" if "init_from" in best[0].roles else ""
    return measured(best) + clean + body
