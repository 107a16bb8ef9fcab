"""Published accuracies of domain adaptation, beside those that were measured."""

from pathlib import Path

import pytest

from metalearn.domains.deep.registry import DEEP
from metalearn.domains.registry import METHODS
from metalearn.errors import UserError
from metalearn.records.domains_published import (
    FILE,
    PublishedDomains,
    published_of,
    read_published_domains,
)
from metalearn.records.domains_tables import domains_markdown
from tests.programs import ROOT
from tests.records.test_domains import BETTER, PLAIN, record, written

HEADER = ",".join(PublishedDomains._fields)
LINE = "mnist,usps,pixels16,nearest,tca,56.28,Someone 2013"


def test_rows_in_the_repository_are_of_methods_that_are_here() -> None:
    rows = read_published_domains(ROOT / "results")
    assert len(rows) == len({row[:5] for row in rows}) == 18
    assert {row.method for row in rows} <= METHODS.keys() | DEEP.keys()


def test_a_row_is_of_one_test_alone() -> None:
    rows = [PublishedDomains(*LINE.split(","))]
    assert published_of(record("tca", BETTER), rows) == "56.28"
    assert published_of(record("coral", BETTER), rows) == ""
    for changes in ({"target_labels": 3}, {"pixels": 8}, {"source": "usps"}):
        assert published_of(record("tca", BETTER, **changes), rows) == ""


def test_a_table_shows_what_is_published_where_something_is(tmp_path: Path) -> None:
    written(tmp_path, record("none", PLAIN), record("tca", BETTER))
    assert "| published % |" not in domains_markdown(tmp_path)
    (tmp_path / FILE).write_text(f"{HEADER}\n{LINE}\n")
    text = domains_markdown(tmp_path)
    assert "| published % |" in text and "| 56.28 |" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source,target\n", "the first line must be source,target"),
        (f"{HEADER}\n{LINE}\n{LINE.replace('56.28', '156')}\n", "line 3: give 7 cells"),
        (f"{HEADER}\n{LINE.replace('56.28', 'good')}\n", "an accuracy in percent"),
        (f"{HEADER}\n{LINE.replace('tca', '')}\n", "none empty"),
        (f"{HEADER}\nmnist\n", "line 2"),
    ],
)
def test_a_wrong_file_is_said(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UserError, match=message):
        read_published_domains(tmp_path)
