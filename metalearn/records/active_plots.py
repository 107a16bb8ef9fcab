"""Plots of active learning: accuracy against labels, and the gain over random choices.

matplotlib is imported only when drawing. The same records give the same bytes, and each file holds
a digest of what it shows.
"""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

from metalearn.active.registry import AUTO
from metalearn.records.active_rows import ActiveRow, active_rows
from metalearn.records.draws import estimate
from metalearn.records.names import file_name
from metalearn.records.svg import COLOURS, MARKERS, End, draw_svg, name_ends

HEIGHT = 5.0  # inches


def active_plot_name(title: str) -> str:
    """The name of a table's plot."""
    return f"active-{file_name(title)}.svg"


def active_digest(rows: list[ActiveRow]) -> str:
    """A digest of everything that a table's plot shows."""
    shown = [(row.name, row.record.test.budgets, row.record.measured.accuracy) for row in rows]
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


def draw_active_plots(root: Path) -> list[Path]:
    """Draws the plots of all tables, in `<root>/plots/`.

    Raises:
      UserError: a file that is no record, or a plot that cannot be written.
    """
    paths = []
    for title, rows in active_rows(root).items():
        paths.append(root / "plots" / active_plot_name(title))
        drawn = partial(_draw, rows=rows)
        draw_svg(paths[-1], drawn, HEIGHT, title, active_digest(rows))
    return paths


def _draw(figure: Any, rows: list[ActiveRow]) -> None:
    """Accuracy on the left, gains on the right; bands are 95 % confidence intervals."""
    (left, right) = figure.subplots(1, 2)
    budgets = rows[0].record.test.budgets
    ends: tuple[list[End], list[End]] = ([], [])
    for number, row in enumerate(rows):
        look = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
        for panel, values, found in zip(
            (left, right), (row.accuracy, row.gains), ends, strict=True
        ):
            if values is not None:
                found.append(_line(panel, budgets, 100 * values, row.name, look))
    left.set(ylabel="accuracy (%)")
    right.set(ylabel="gain over random choices (points)")
    right.axhline(0, color="black", linewidth=0.8)
    for panel, found in zip((left, right), ends, strict=True):
        panel.set(xlabel="labels", xscale="log")
        panel.set_xticks(budgets, [str(budget) for budget in budgets])
        panel.minorticks_off()
        panel.set_xlim(right=budgets[-1] * (budgets[-1] / budgets[0]) ** 0.5)  # room for the names
        if found:
            name_ends(panel, found, fit=30)


def _line(panel: Any, budgets: list[int], values: Any, name: str, look: dict[str, str]) -> End:
    """Draws values [draws, rounds] in percent; where the line ends."""
    found = [estimate(values[:, place]) for place in range(len(budgets))]
    means = [each.mean for each in found]
    low = [each.mean - (each.ci95 or 0) for each in found]
    high = [each.mean + (each.ci95 or 0) for each in found]
    above = 3 if name == AUTO else 2  # where it does what another one does, it is seen
    panel.plot(budgets, means, linewidth=1.2, markersize=4, zorder=above, **look)
    panel.fill_between(budgets, low, high, color=look["color"], alpha=0.12, linewidth=0)
    return End(budgets[-1], means[-1], 1.12 * budgets[-1], name, look["color"])
