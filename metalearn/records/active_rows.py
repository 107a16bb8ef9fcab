"""What records of simulated active learning say: means, gains over random choices, intervals."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from metalearn.config import Config
from metalearn.records.active import ACTIVE, BASELINE, ActiveRecord
from metalearn.records.draws import by_table
from metalearn.records.labelled_store import official_name
from metalearn.records.names import body_of

AIM = 1000  # labels whose accuracy by random choices is to be reached with fewer
Numbers = np.ndarray


class ActiveRow(NamedTuple):
    """A strategy in a table.

    Attributes:
      record: of it.
      baseline: of random choices on the same draws; None where there is none.
    """

    record: ActiveRecord
    baseline: ActiveRecord | None

    @property
    def name(self) -> str:
        """`margin`, or `margin, balanced`."""
        test = self.record.test
        parts = [test.strategy]
        parts += ["balanced"] if test.balanced else []
        parts += ["distinct"] if test.distinct else []
        parts += [f"to agreement {test.stop:g}"] if test.stop else []
        return ", ".join(parts)

    @property
    def accuracy(self) -> Numbers:
        """[draws, rounds]."""
        return np.array(self.record.measured.accuracy)

    @property
    def gains(self) -> Numbers | None:
        """[draws, rounds], accuracy less that of random choices on the same draw."""
        if self.baseline is None or self.baseline is self.record:
            return None
        return self.accuracy - np.array(self.baseline.measured.accuracy)

    @property
    def labels_needed(self) -> float | None:
        """Labels with which random choices' accuracy at `aim_of` labels is reached; None if never.

        Of mean accuracies, in a straight line between budgets over the logarithm of labels.
        """
        if self.baseline is None:
            return None
        budgets = self.record.test.budgets
        place = budgets.index(aim_of(budgets))
        wanted = np.array(self.baseline.measured.accuracy).mean(0)[place]
        return labels_to_reach(budgets, self.accuracy.mean(0), wanted)


def aim_of(budgets: list[int]) -> int:
    """The budget whose accuracy is to be reached: 1,000 labels, or the last one."""
    return AIM if AIM in budgets else budgets[-1]


def labels_to_reach(budgets: list[int], accuracy: Numbers, wanted: float) -> float | None:
    """Labels at which a curve first reaches an accuracy; None if it does not.

    Args:
      budgets: labels.
      accuracy: at each of them.
      wanted: accuracy.
    """
    reached = np.flatnonzero(accuracy >= wanted)
    if not len(reached):
        return None
    place = int(reached[0])
    if place == 0:
        return float(budgets[0])
    logs = np.log(budgets[place - 1 : place + 1])
    share = (wanted - accuracy[place - 1]) / (accuracy[place] - accuracy[place - 1])
    return float(np.exp(logs[0] + share * (logs[1] - logs[0])))


def area(budgets: list[int], curves: Numbers) -> Numbers:
    """Mean accuracy [draws] over the logarithm of labels of curves [draws, rounds] (trapezia)."""
    if len(budgets) == 1:
        return curves[:, 0]
    logs = np.log(budgets)
    return np.trapezoid(curves, logs, axis=1) / (logs[-1] - logs[0])


def active_rows(root: Path) -> dict[str, list[ActiveRow]]:
    """The rows of each table by its title; of those that may be compared draw by draw.

    Raises:
      UserError: a file that is no record, or two of the same test.
    """
    found: dict[str, list[ActiveRow]] = {}
    for title, group in by_table(ACTIVE.read_all(root), title_of):
        baseline = next((r for r in group if r.test.strategy == BASELINE and is_plain(r)), None)
        rows = [ActiveRow(record, baseline) for record in group]
        found[title] = sorted(rows, key=lambda row: (row.record is not baseline, row.name))
    return found


def is_plain(record: ActiveRecord) -> bool:
    """Whether nothing evens out, leaves out or stops what a strategy chooses."""
    test = record.test
    return not (test.balanced or test.distinct or test.stop)


def title_of(record: ActiveRecord) -> str:
    """`cifar100, efficientnet-lite0-160px`, and what is not usual."""
    (config, test) = (record.config, record.test)
    parts = [official_name(config, record.provenance), body_of(config)]
    if record.lineage:
        parts.append(f"trained by {record.lineage[-1].config.method}")
    parts += [test.classifier] if test.classifier != "auto" else []
    parts += [f"pool of {test.pool}"] if test.pool else []
    parts += ["validation classes or images"] if config.learned != Config.learned else []
    return ", ".join(parts)
