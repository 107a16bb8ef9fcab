"""Published accuracies of domain adaptation, from results/published_domains.csv."""

import csv
import io
from pathlib import Path
from typing import NamedTuple

from metalearn.errors import UserError
from metalearn.records.domains import DomainsRecord

FILE = "published_domains.csv"


class PublishedDomains(NamedTuple):
    """A row of the file; accuracy of the target as its source writes it, in percent."""

    source: str
    target: str
    features: str
    classifier: str
    method: str
    accuracy: str
    reference: str


def read_published_domains(root: Path) -> list[PublishedDomains]:
    """The rows of the file in the folder of results; none where there is no such file.

    Raises:
      UserError: the file cannot be read, or a row with a wrong cell.
    """
    path = root / FILE
    if not path.exists():
        return []
    try:
        (header, *lines) = csv.reader(io.StringIO(path.read_text(encoding="utf-8")), strict=True)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if tuple(header) != PublishedDomains._fields:
        raise UserError(f"{path}: the first line must be {','.join(PublishedDomains._fields)}")
    for number, line in enumerate(lines, 2):
        if len(line) != len(header) or not all(line) or not _share(line[5]):
            raise UserError(
                f"{path}, line {number}: give {len(header)} cells, none empty, and an accuracy in "
                "percent"
            )
    return [PublishedDomains(*line) for line in lines]


def _share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 100
    except ValueError:
        return False


def published_of(record: DomainsRecord, rows: list[PublishedDomains]) -> str:
    """`95.2`, what is published of a record's method without labels of the target; '' for none."""
    (test, found) = (record.test, "")
    if test.target_labels:
        return found
    about = (test.source, test.target, record.features, test.classifier, test.method)
    return next((row.accuracy for row in rows if row[:5] == about), found)
