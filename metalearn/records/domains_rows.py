"""What records of domain adaptation say: gains over the source alone, choices of validators."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metalearn.config import Config
from metalearn.domains.negative import Gain, gain
from metalearn.records.domains import BASELINES, DomainsRecord
from metalearn.records.domains_store import DOMAINS
from metalearn.records.draws import by_table

ORACLE = "oracle"  # what the target's labels choose, shown beside validators


class DomainsRow(NamedTuple):
    """A method in a table.

    Attributes:
      record: of it.
      baseline: of the source alone on the same draws; None where there is none.
    """

    record: DomainsRecord
    baseline: DomainsRecord | None

    @property
    def name(self) -> str:
        """Of the method."""
        return self.record.test.method

    @property
    def said(self) -> str:
        """The name, and weights of losses that are not the usual ones."""
        config = self.record.config
        weights = [
            f"{name.replace('_', ' ')} {getattr(config, name)}"
            for name in ("penalty", "target_weight")
            if self.record.trained and getattr(config, name) != getattr(Config, name)
        ]
        return f"{self.name} ({', '.join(weights)})" if weights else self.name

    @property
    def target(self) -> np.ndarray:
        """[draws], accuracy of the target's test images with the default settings."""
        return of_defaults(self.record, "target_accuracy")

    @property
    def gains(self) -> np.ndarray | None:
        """[draws], that accuracy less that of the source alone on the same draws; None without."""
        if self.baseline is None or self.name in BASELINES:
            return None
        if self.baseline.test.draws != self.record.test.draws:
            return None
        return self.target - of_defaults(self.baseline, "target_accuracy")

    @property
    def gain(self) -> Gain | None:
        """The mean gain with its interval; None of one draw, or without a baseline."""
        gains = self.gains
        if gains is None or len(gains) < 2:
            return None
        return gain(gains, np.zeros(len(gains)))


class Choice(NamedTuple):
    """What a validator chooses among methods and their settings, in each draw on its own.

    Attributes:
      by: name of the validator, or `oracle`.
      accuracy: [draws], of the target's test images by what it chose.
      often: what it chose most often, `coral (regularisation 0.1)`.
      times: in how many draws.
    """

    by: str
    accuracy: np.ndarray
    often: str
    times: int


def of_defaults(record: DomainsRecord, name: str) -> np.ndarray:
    """[draws], a measure with the default settings."""
    return np.array(getattr(record.measured, name))[:, 0]


def choices(rows: list[DomainsRow]) -> list[Choice]:
    """The choice of each validator that all rows have, and the oracle's, which comes last.

    Args:
      rows: of one table.
    """
    names = [
        f"{row.said} ({said})" if said != "defaults" else row.said
        for row in rows
        for said in row.record.test.choices
    ]
    reached = np.concatenate([row.record.measured.target_accuracy for row in rows], axis=1)
    score = np.concatenate([row.record.measured.validators for row in rows], axis=1)
    ordered = [
        (name, score[..., place]) for place, name in enumerate(rows[0].record.test.validators)
    ]
    found = []
    for by, values in [*ordered, (ORACLE, reached)]:
        best = values.argmax(1)
        (number, times) = Counter(best.tolist()).most_common(1)[0]
        found.append(Choice(by, reached[np.arange(len(best)), best], names[number], times))
    return found


def domains_rows(root: Path) -> dict[str, list[DomainsRow]]:
    """The rows of each table by its title; of those that may be compared draw by draw.

    Raises:
      UserError: a file that is no record, or two of the same test.
    """
    tables = by_table(DOMAINS.read_all(root), title_of)
    return {title: rows_of(group) for title, group in tables}


def rows_of(records: list[DomainsRecord]) -> list[DomainsRow]:
    """The rows of records that may be compared, the source alone first."""
    plain = [record for record in records if record.test.method in BASELINES]
    baseline = plain[0] if plain else None
    rows = [DomainsRow(record, baseline) for record in records]
    return sorted(
        rows, key=lambda row: (row.name not in BASELINES, row.said, row.record.test.choices)
    )


def title_of(record: DomainsRecord) -> str:
    """`mnist to usps, pixels16, nearest`, and what is not usual; how trained bodies' images are."""
    test = record.test
    parts = [record.domains.replace("-to-", " to "), record.features]
    if record.lineage and not test.pixels and not record.trained:
        parts.append(f"trained by {record.lineage[-1].config.method}")
    parts.append(test.classifier)
    if record.trained:
        augment = record.config.augment
        begun = record.lineage[-1].config if record.lineage else record.config
        parts.append(f"{begun.steps} updates")
        parts.append("not augmented" if augment == "none" else f"augmented by {augment}")
    parts += [f"{test.images} images"] if test.images else []
    parts += [f"{test.target_labels} labels of the target"] if test.target_labels else []
    return ", ".join(parts)
