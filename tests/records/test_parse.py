"""Reading records: what is wrong with a file is one line that names it."""

import json
from pathlib import Path

import pytest

from metalearn.errors import UserError
from metalearn.records.tables import markdown
from tests.made_up import COMMAND, write


@pytest.mark.parametrize(
    ("part", "change", "wrong"),
    [
        ("measured", {"accuracy": 58.0}, "wrong or missing accuracy"),
        ("measured", {"ece": float("nan")}, "wrong or missing ece"),
        ("measured", {"transductive": None}, "wrong or missing transductive"),
        ("config", {"ways": "5"}, "wrong or missing ways"),
        ("config", {"wings": 2}, "unknown wings: it is of another version"),
        ("provenance", {"command": "two\nlines"}, "wrong or missing command"),
    ],
)
def test_error_names_a_wrong_field_of_a_record(
    root: Path, part: str, change: dict, wrong: str
) -> None:
    path = write(root, "bad.json")
    found = json.loads(path.read_text())
    path.write_text(json.dumps(found | {part: found[part] | change}))
    with pytest.raises(UserError) as error:
        markdown(root)
    assert str(error.value) == f"{path} is no record: {wrong}; make the record again or delete it"


def test_error_names_a_record_of_another_format(root: Path) -> None:
    path = write(root, "new.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 3}))
    with pytest.raises(
        UserError, match=f"^{path} is no record: it is of format 3, and this version reads 2"
    ):
        markdown(root)


def test_error_for_a_record_without_settings_gives_its_command(root: Path) -> None:
    path = root / "cifar_fs" / "old.json"
    path.write_text(json.dumps({"method": "maml", "accuracy": 0.5, "command": COMMAND}))
    with pytest.raises(
        UserError, match=f"of an older version, which kept no settings; make it again: {COMMAND}"
    ):
        markdown(root)


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", "\xff"])
def test_error_names_a_file_that_is_no_record(root: Path, text: str) -> None:
    path = root / "cifar_fs" / "bad.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=f"^{path} is no") as error:
        markdown(root)
    assert "\n" not in str(error.value)
