"""Answers in CSV files of every kind, in sorted folders, and in Label Studio's JSON."""

import json
from pathlib import Path

import pytest

from metalearn.errors import UserError
from metalearn.labelling.answers import read_answers, read_sorted, write_questions
from metalearn.labelling.folder import digest_of, held
from metalearn.labelling.given import Given, label_name
from metalearn.labelling.label_studio import (
    LOCAL,
    Predicted,
    Task,
    config_of,
    read_tasks,
    write_tasks,
)
from metalearn.labelling.sheet import Tile, write_sheets
from metalearn.labelling.state import Record
from metalearn.labelling.work import read_any
from tests.labelling.made import pile

TEXT = "number,photo,label,guess\n1,a.jpg,café,\n2,b.jpg,,café\n3,c.jpg,Skip,\n"
LABELS = [("a.jpg", "café"), ("c.jpg", "skip")]


def pairs(given: list[Given]) -> list[tuple[str, str]]:
    return [(one.photo, one.label) for one in given]


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
        TEXT.encode("cp1252"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
        TEXT.replace(",", ";").encode("utf-8-sig"),
        TEXT.replace(",", "\t").encode("utf-16"),
        ("sep=;\n\n" + TEXT.replace(",", ";")).encode(),
        TEXT.replace("photo", " Photo ").replace("a.jpg", '"a.jpg"').encode(),
        TEXT.replace("café", "cafe\u0301").encode(),
        b"label,photo\n" + "café,a.jpg\nSKIP, c.jpg \n,d.jpg\n\n".encode(),
    ],
    ids=[
        "utf-8",
        "its mark",
        "utf-16",
        "utf-16-le",
        "utf-16-be",
        "windows",
        "its line ends",
        "those of old",
        "semicolons",
        "tabs",
        "excel's first line",
        "quotes and capitals",
        "accents apart",
        "other columns",
    ],
)
def test_csvs_of_every_spreadsheet_are_read(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_bytes(data)
    found = pairs(read_answers(tmp_path / "answers.csv"))
    assert [(photo.strip(), label) for photo, label in found] == LABELS


def test_rows_are_counted_as_people_do(tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text(TEXT)
    assert [one.where for one in read_answers(tmp_path / "answers.csv")] == [
        "row 2 of answers.csv",
        "row 4 of answers.csv",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("photo,class\na.jpg,cup\n", "has no columns photo and label"),
        ("a.jpg,cup\n", "has no columns photo and label"),
        ("photo,label\n,cup\n", "row 2 .* has the label 'cup', but no photo"),
        ("photo,label\n\0\0\0a.jpg,cup\n", "no columns|no text"),
        ('photo,label\n"a.jpg,' + "x" * 200_000, "row 2: field larger"),
    ],
)
def test_what_is_no_csv_of_answers_is_refused_in_one_line(
    text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "answers.csv").write_text(text)
    with pytest.raises(UserError, match=message) as raised:
        read_answers(tmp_path / "answers.csv")
    assert "\n" not in str(raised.value)


def test_questions_are_a_csv_with_a_blank_for_each_answer(tmp_path: Path) -> None:
    tiles = [Tile(1, "été 📷.jpg", tmp_path, "cup"), Tile(2, 'a "b", c.jpg', tmp_path, None)]
    path = tmp_path / "next.csv"
    write_questions(tiles, path)
    assert path.read_bytes().startswith(b"\xef\xbb\xbfnumber,photo,label,guess\r\n")
    assert read_answers(path) == []
    path.write_text(path.read_text("utf-8").replace(",,", ",cup,"))
    assert pairs(read_answers(path)) == [("été 📷.jpg", "cup"), ('a "b", c.jpg', "cup")]


def test_contact_sheets_have_pages_and_old_ones_go(tmp_path: Path) -> None:
    place = pile(tmp_path, 1, 2)
    tiles = [Tile(i, "x" * i, place.photos / f"apple{i % 2}.png", "apple") for i in range(31)]
    assert [path.name for path in write_sheets(tiles, tmp_path, "next")] == [
        "next-1.png",
        "next-2.png",
    ]
    (page,) = write_sheets(
        [tiles[0], Tile(1, "gone", tmp_path / "gone.png", None)], tmp_path, "next"
    )
    assert not (tmp_path / "next-2.png").exists() and page.stat().st_size > 1000
    assert write_sheets([], tmp_path, "next") == [] and not page.exists()


def test_folders_are_answers_by_what_lies_in_them(tmp_path: Path) -> None:
    pile(tmp_path / "sorted" / "my  cup", 1, 1)
    pile(tmp_path / "sorted" / "skip" / "below", 1, 1, first=1)
    pile(tmp_path / "sorted" / "kept", 1, 1)  # where the state is
    (cup, skip) = read_any(tmp_path / "sorted", tmp_path / "sorted" / "kept")
    assert cup == Given(
        "my  cup/apple0.png",
        "apple0.png",
        "my cup",
        digest_of(tmp_path / "sorted" / "my  cup" / "apple0.png"),
    )
    assert (skip.photo, skip.label) == ("apple1.png", "skip")
    with pytest.raises(UserError, match="no class folder"):
        read_sorted(tmp_path / "sorted" / "my  cup", tmp_path)


def test_names_of_classes_are_single_lines() -> None:
    assert label_name(" my\n cup\t") == "my cup" and label_name("cafe\u0301") == "café"
    assert label_name(" \n") == "" and label_name("SKIP") == "skip"


def test_label_studio_gets_answers_and_guesses_and_gives_them_back(tmp_path: Path) -> None:
    (a, b, c, d) = (letter * 64 for letter in "abcd")
    tasks = [
        Task(a, Record("sub/été 1.jpg", 1, "<cup>"), None),
        Task(b, Record("b.jpg", 1, skipped=True), Predicted("door", 0.5)),
        Task(c, Record("c.jpg", 1), Predicted("door", 0.75)),
        Task(d, Record("d.jpg"), None),
    ]
    path = tmp_path / "tasks.json"
    write_tasks(tasks, path, LOCAL)
    found = json.loads(path.read_text())
    assert found[0]["data"] == {
        "image": "/data/local-files/?d=sub/%C3%A9t%C3%A9%201.jpg",
        "sha256": a,
    }
    result = {"from_name": "choice", "to_name": "image", "type": "choices"}
    assert found[0]["annotations"] == [{"result": [{**result, "value": {"choices": ["<cup>"]}}]}]
    assert found[2]["predictions"][0]["score"] == 0.75
    assert found[2]["predictions"][0]["result"] == [{**result, "value": {"choices": ["door"]}}]
    assert found[3].keys() == {"data"} and "predictions" not in found[0]
    assert [(one.photo, one.label, one.digest) for one in read_any(path, tmp_path)] == [
        ("sub/été 1.jpg", "<cup>", a),
        ("b.jpg", "skip", b),
    ]
    assert '<Choice value="&lt;cup&gt;"/>' in config_of(["<cup>"])


def test_tasks_of_other_projects_are_read_by_their_addresses(tmp_path: Path) -> None:
    """As Label Studio exports those that were uploaded, stored elsewhere, or skipped."""

    def task(address: str, *choices: str, key: str = "photo", **more: object) -> dict:
        result = {"type": "choices", "from_name": "tag", "value": {"choices": list(choices)}}
        other = {"type": "rectanglelabels", "value": {"rectanglelabels": ["Car"]}}
        annotation = {"id": 7, "result": [other, result] if choices else [], **more}
        return {"id": 1, "data": {key: address, "by": "me"}, "annotations": [annotation]}

    tasks = [
        task("/data/upload/3/0a1b2c3d-a.jpg", "cup"),
        task("https://example.org/x/b%20c.jpg?version=1", "door", key="image"),
        task("/data/local-files/?d=pile/d.jpg", was_cancelled=True),
        task("e.jpg"),
        {"data": {"image": "f.jpg"}, "predictions": []},
    ]
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks))
    assert pairs(read_tasks(path)) == [
        ("a.jpg", "cup"),
        ("/x/b c.jpg", "door"),
        ("pile/d.jpg", "skip"),
    ]
    path.write_text(json.dumps(task("a.jpg", "cup", "door")))
    with pytest.raises(UserError, match="task 1 of export.json has several choices"):
        read_tasks(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "is no JSON"),
        ('[{"image": "a.jpg", "choice": "cup"}]', "task 1 of .*not JSON-MIN"),
        ("[7]", "task 1 of"),
        ('[{"data": {"text": "words"}, "annotations": [{"was_cancelled": true}]}]', "task 1 of"),
    ],
)
def test_what_label_studio_does_not_write_is_refused(
    text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "export.json").write_text(text)
    with pytest.raises(UserError, match=message) as raised:
        read_tasks(tmp_path / "export.json")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("number,photo,label,guess;\n1,a.jpg,,;cup\n", "two kinds of delimiters"),
        ("photo,label\na.jpg,,cup\n", "row 2 of answers.csv has more cells"),
        ("x" * 200_000, "has no columns photo and label"),
    ],
)
def test_labels_beside_the_columns_are_not_read_as_blank(
    tmp_path: Path, text: str, said: str
) -> None:
    """As a spreadsheet leaves them that did not split the columns."""
    (tmp_path / "answers.csv").write_text(text)
    with pytest.raises(UserError, match=said):
        read_answers(tmp_path / "answers.csv")


def test_class_folders_with_blank_names_are_refused(tmp_path: Path) -> None:
    place = pile(tmp_path / "sorted" / "\u3000", 1, 1)
    with pytest.raises(UserError, match="whose name is blank"):
        read_sorted(tmp_path / "sorted", place.state)


def test_files_of_others_stay_in_the_folder_of_the_state(tmp_path: Path) -> None:
    theirs = [tmp_path / name for name in ("film.mkv.part", "next-door.png")]
    ours = [tmp_path / name for name in ("state.json.1.part", "next-7.png")]
    for path in (*theirs, *ours):
        path.write_bytes(b"")
    with held(tmp_path):
        write_sheets([], tmp_path, "next")
    assert all(path.exists() for path in theirs) and not any(path.exists() for path in ours)
