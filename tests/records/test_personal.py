"""Records of recognisers of few photographs, and their tables."""

import dataclasses
import json
from pathlib import Path

import pytest

from metalearn.errors import UserError
from metalearn.records.personal import PERSONAL, PersonalMeasured, PersonalRecord, PersonalTest
from metalearn.records.personal_tables import personal_csv, personal_markdown
from metalearn.records.record import Provenance

RECORD = PersonalRecord(
    PersonalTest(
        dataset="grocery",
        part="test",
        body="efficientnet-lite0",
        weights="579344248a93e230",
        views="usual",
        mirror=False,
        centre="others",
        method="auto",
        ways=5,
        labels=1,
        unknown=20,
        draws=200,
        seed=0,
        unknown_rate=0.05,
    ),
    PersonalMeasured(
        classes=5,
        accuracy=0.8253,
        ci95=0.0185,
        lowest=0.3,
        highest=1.0,
        balanced=0.83,
        ece=0.07,
        expected=None,
        accepted=0.25,
        right_of_accepted=0.97,
        others_accepted=0.07,
        auroc=0.77,
        fit_ms=37.0,
    ),
    Provenance("python -m experiments.few_photos --labels=1", "0123456789ab", "2x CPU", "abcd"),
)


def written(root: Path, record: PersonalRecord) -> Path:
    path = PERSONAL.path(root, record)
    PERSONAL.write(path, record)
    return path


def other(**changes: object) -> PersonalRecord:
    return dataclasses.replace(RECORD, test=dataclasses.replace(RECORD.test, **changes))


def test_record_read_is_the_one_written(tmp_path: Path) -> None:
    path = written(tmp_path, RECORD)
    assert PERSONAL.read(path) == dataclasses.replace(RECORD, path=path)


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": 5},
        {"ways": 0},
        {"views": "whole"},
        {"mirror": True},
        {"centre": "own"},
        {"method": "ridge"},
        {"unknown": 0},
        {"part": "valid"},
        {"seed": 1},
        {"dataset": "grocery_iconic"},
    ],
    ids=str,
)
def test_other_tests_have_other_files(tmp_path: Path, changes: dict[str, object]) -> None:
    assert PERSONAL.path(tmp_path, other(**changes)) != PERSONAL.path(tmp_path, RECORD)
    assert other(**changes).identity != RECORD.identity


def test_a_record_keeps_its_file_and_gives_it_to_no_other_test(tmp_path: Path) -> None:
    path = written(tmp_path, RECORD)
    more = written(tmp_path, other(draws=400))
    assert more.name == path.name.replace(".json", "-2.json")
    assert [PERSONAL.path(tmp_path, one) for one in (RECORD, other(draws=400))] == [path, more]


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("measured", "accuracy", 1.5),
        ("measured", "accuracy", None),
        ("measured", "auroc", -0.1),
        ("test", "ways", "five"),
        ("test", "dataset", None),
    ],
)
def test_impossible_values_are_refused(tmp_path: Path, part: str, name: str, value: object) -> None:
    path = written(tmp_path, RECORD)
    found = json.loads(path.read_text())
    found[part][name] = value
    path.write_text(json.dumps(found))
    with pytest.raises(UserError, match=f"{path.name}.*{name}"):
        PERSONAL.read_all(tmp_path)


def test_a_record_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, RECORD)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"kind": "labelled"}))
    with pytest.raises(UserError, match="kind"):
        PERSONAL.read(path)


def test_table_has_a_line_for_each_record_what_is_as_usual_first(tmp_path: Path) -> None:
    for record in (other(views="whole"), other(method="ridge"), RECORD, other(labels=5)):
        written(tmp_path, record)
    lines = [line for line in personal_markdown(tmp_path).splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.split("|")[3:7]] for line in lines[2:]]
    assert cells == [
        ["1", "efficientnet-lite0", "auto", "–"],
        ["1", "efficientnet-lite0", "auto", "the whole photo alone"],
        ["1", "efficientnet-lite0", "ridge", "–"],
        ["5", "efficientnet-lite0", "auto", "–"],
    ]
    assert "82.53 ± 1.85 (30.0 to 100.0)" in lines[2]


def test_no_record_is_no_section(tmp_path: Path) -> None:
    assert personal_markdown(tmp_path) == "" and personal_csv(tmp_path) == ""


def test_csv_has_every_number(tmp_path: Path) -> None:
    written(tmp_path, RECORD)
    head, line = personal_csv(tmp_path).splitlines()
    assert len(head.split(",")) == len(line.split(","))
    assert "0.8253" in line and "right_of_accepted" in head
