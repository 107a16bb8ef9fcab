"""The rows of all tables as CSV, with every number, and as LaTeX."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from metalearn.records.cells import NONE, cells, steps_of, trained_on
from metalearn.records.names import body_of, table_of, variants
from metalearn.records.published import Published
from metalearn.records.record import Record
from metalearn.records.report import Row, beside, between_seeds, differences, load, mean

SIDES = ("inductive", "transductive")


def latex(root: Path) -> str:
    """A LaTeX table (booktabs) for each dataset that has a record.

    Raises:
      UserError: a file that is no record, or a wrong row of published.csv.
    """
    datasets, published = load(root)
    special: dict[str, str | int | None] = {
        "_": r"\_",
        "%": r"\%",
        "&": r"\&",
        "#": r"\#",
        "±": r"$\pm$",
        NONE: "--",
    }
    columns = (
        "method",
        "backbone",
        "test",
        "trained on",
        "inductive %",
        "transductive %",
        "published %",
    )

    def line(row_cells: Iterable[str]) -> str:
        return (
            "  " + " & ".join(cell.translate(str.maketrans(special)) for cell in row_cells) + r" \\"
        )

    parts = []
    for name, rows in datasets.items():
        lines = []
        for row in rows:
            theirs = beside(row, published)
            shown = cells(row, published) | {"published %": theirs[0].number if theirs else NONE}
            lines.append(line(shown[column] for column in columns))
        shown_name = name.translate(str.maketrans(special))
        caption = rf"\caption{{{shown_name}: accuracy $\pm$ 95\,\% CI over episodes}}"
        table = [
            r"\begin{table}",
            r"\centering",
            caption,
            r"\begin{tabular}{llllrrrrr}",
            r"  \toprule",
            line(columns),
        ]
        table += [r"  \midrule", *lines, r"  \bottomrule", r"\end{tabular}", r"\end{table}", ""]
        parts += table if rows else []
    return "\n".join(parts)


def table_csv(root: Path) -> str:
    """All tables as CSV: our numbers as fractions, published ones in percent as in their source.

    Raises:
      UserError: a file that is no record, or a wrong row of published.csv.
    """
    datasets, published = load(root)
    return csv_text([_csv_line(row, published) for rows in datasets.values() for row in rows])


def csv_text(lines: list[dict[str, Any]]) -> str:
    """Lines of the same columns as CSV, with a header; empty without a line."""
    out = io.StringIO()
    if lines:
        writer = csv.DictWriter(out, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return out.getvalue()


def _csv_line(row: Row, published: list[Published]) -> dict[str, Any]:
    first = row.records[0]
    config = first.config
    theirs = beside(row, published)
    best = theirs[0] if theirs else None
    line: dict[str, Any] = {"dataset": table_of(first)}
    for name in ("method", "backbone", "ways", "shots", "queries", "train_ways", "train_shots"):
        line[name] = getattr(config, name) or None  # not read: no episodes in training
    line["backbone"] = body_of(config)
    line |= {"train_norm": config.norm, "episodes": config.episodes}
    line |= {"episode_hash": first.test.episode_hash, "steps": config.steps}
    line |= {"variant": ", ".join(variants(config)), "trained_on": trained_on(first)}
    line |= {"all_steps": steps_of(first)}
    line |= _side("inductive", row.inductive) | _side("transductive", row.transductive)
    for name in ("accuracy", "ci95", "transductive", "source"):
        line[f"published_{name}"] = best and getattr(best, name)
    line |= {
        "peak_memory_mb": max(r.measured.peak_memory_mb for r in row.records),
        "device": _of_all(row, "device"),
    }
    points = differences(row, theirs)
    line |= {
        f"difference_{side}": round(points[side], 4) if side in points else None for side in SIDES
    }
    line |= {"best_steps": " ".join(str(r.test.best_step) for r in row.records)}
    return line | {"precision": config.precision, "commit": _of_all(row, "commit")}


def _side(name: str, side: list[Record]) -> dict[str, Any]:
    fields = ("accuracy", "ci95", "accuracy_before", "ece", "tasks_per_s")
    means = {field: mean(side, field) for field in fields}
    found: dict[str, Any] = {"norm": side[0].test.normalisation if side else None}
    found |= {field: None if value is None else round(value, 6) for field, value in means.items()}
    sd = between_seeds(side)
    found |= {"sd": None if sd is None else round(sd, 6)}
    found |= {"seeds": " ".join(str(r.config.seed) for r in side)}
    return {f"{name}_{k}": v for k, v in found.items()}


def _of_all(row: Row, field: str) -> str:
    """The distinct values of a field of the records' provenance."""
    return ", ".join(sorted({getattr(r.provenance, field) for r in row.records}))
