"""Records that are compared draw by draw: tables of them, means with their intervals."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from metalearn.errors import UserError


class Estimate(NamedTuple):
    """A mean over draws.

    Attributes:
      mean: of the draws.
      ci95: half the width of its 95 % confidence interval (Student's t); None of one draw.
    """

    mean: float
    ci95: float | None


def estimate(values: np.ndarray) -> Estimate:
    """The mean of values [draws], with its interval."""
    from scipy.stats import t  # it takes long to import

    number = len(values)
    if number < 2:
        return Estimate(float(values.mean()), None)
    width = t.ppf(0.975, number - 1) * values.std(ddof=1) / np.sqrt(number)
    return Estimate(float(values.mean()), float(width))


def by_table(
    records: Sequence[Any], title_of: Callable[[Any], str]
) -> Iterator[tuple[str, list[Any]]]:
    """The records of each table, with its title; those that agree in `compared` share one.

    Of tables with one title, the second ends with (2), and so on.

    Args:
      records: with `identity`, `compared` and `path`.
      title_of: what a record's table is about.

    Raises:
      UserError: two of the same test.
    """

    def place(record: Any) -> tuple[str, str]:
        return title_of(record), record.compared

    taken: dict[str, int] = {}
    for (title, _), some in groupby(sorted(records, key=place), key=place):
        group = list(some)
        _check_once(group)
        number = taken[title] = taken.get(title, 0) + 1
        yield (title if number == 1 else f"{title} ({number})"), group


def _check_once(records: list[Any]) -> None:
    known: dict[str, Any] = {}
    for record in records:
        other = known.setdefault(record.identity, record)
        if other is not record:
            raise UserError(f"{other.path} and {record.path} are of the same test: delete one")
