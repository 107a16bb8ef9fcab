"""Plots of domain adaptation: accuracy in the target beside that of the source alone.

matplotlib is imported only when drawing. The same records give the same bytes, and each file holds
a digest of what it shows.
"""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

from metalearn.records.domains_rows import DomainsRow, domains_rows, of_defaults
from metalearn.records.draws import estimate
from metalearn.records.names import file_name
from metalearn.records.svg import COLOURS, draw_svg

ROW = 0.3  # inches a method


def domains_plot_name(title: str) -> str:
    """The name of a table's plot."""
    return f"domains-{file_name(title)}.svg"


def domains_digest(rows: list[DomainsRow]) -> str:
    """A digest of everything that a table's plot shows."""
    shown = [
        (row.said, row.target.tolist(), of_defaults(row.record, "distance").tolist())
        for row in rows
    ]
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


def draw_domains_plots(root: Path) -> list[Path]:
    """Draws the plots of all tables, in `<root>/plots/`.

    Raises:
      UserError: a file that is no record, or a plot that cannot be written.
    """
    paths = []
    for title, rows in domains_rows(root).items():
        paths.append(root / "plots" / domains_plot_name(title))
        drawn = partial(_draw, rows=rows)
        draw_svg(paths[-1], drawn, 2 + ROW * len(rows), title, domains_digest(rows))
    return paths


def _draw(figure: Any, rows: list[DomainsRow]) -> None:
    """Accuracy on the left, distance of the domains on the right; bars are 95 % intervals."""
    (left, right) = figure.subplots(1, 2, sharey=True)
    for place, row in enumerate(rows):
        for panel, values in (
            (left, 100 * row.target),
            (right, of_defaults(row.record, "distance")),
        ):
            found = estimate(values)
            look = {"color": COLOURS[place % len(COLOURS)], "fmt": "o", "capsize": 3}
            panel.errorbar(found.mean, place, xerr=found.ci95 or 0, **look)
    if rows[0].baseline is not None:
        before = 100 * of_defaults(rows[0].baseline, "target_accuracy").mean()
        left.axvline(before, color="black", linewidth=0.8)
    left.set_yticks(range(len(rows)), [row.said for row in rows])
    left.invert_yaxis()
    left.set(xlabel="accuracy in the target (%)")
    right.set(xlabel="proxy A-distance", xlim=(-0.05, 2.05))
