"""The program `active` on one's own photographs, from questions to a recogniser's file.

With a tiny body in the place of the default one, as that takes seconds to compile.
"""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from metalearn.labelling import work
from metalearn.labelling.folder import held
from metalearn.labelling.state import load_state
from metalearn.models.zoo import load_body
from metalearn.personal import embedding, probed
from metalearn.personal.embedding import BODY
from metalearn.recogniser import Recogniser
from metalearn.types import Body
from tests.labelling.made import pile, truth
from tests.personal.made import picture
from tests.programs import ROOT, Said, contents, environment, process, program
from tests.training.tiny_body import tiny_body


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", autouse=True)
def _tiny(cache: Path) -> Iterator[None]:
    """The default body, with its installed weights, is a tiny one inside this process."""

    def load_tiny(name: str, weights: str | None = None) -> Body:
        return tiny_body() if name == BODY and weights is None else load_body(name, weights)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "load_body", load_tiny)
        patch.setattr(probed, "make_body", lambda name: tiny_body())
        patch.setenv("METALEARN_CACHE", str(cache))
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photographs of three classes in one folder."""
    folder = tmp_path_factory.mktemp("pile") / "photos"
    pile(folder, 3, 4)
    return folder


@pytest.fixture
def photos(whole: Path, tmp_path: Path) -> Path:
    """A copy of them."""
    return Path(shutil.copytree(whole, tmp_path / "photos"))


def active(*words: object) -> Said:
    return program("active", *map(str, words))


def questions(photos: Path) -> Path:
    return photos / ".labelling" / "next.csv"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def fill(photos: Path, most: int = 99, **instead: str) -> list[str]:
    """Answer the questions, the first ones; returns their names."""
    found = rows(questions(photos))
    lines = ["photo;label"]
    for row in found[:most]:
        name = row["photo"]
        lines.append(f"{name};{instead.get(Path(name).stem, truth(name))}")
    questions(photos).write_text("\r\n".join(lines), "utf-16")
    return [row["photo"] for row in found[:most]]


def test_from_a_pile_of_photos_to_a_recogniser(photos: Path, tmp_path: Path) -> None:
    asked: list[str] = []
    for number in (6, 4):
        said = active("next", photos, f"--n={number}")
        assert said.code == 0, said.err
        assert f"{number} photos to label ({number} new)" in said.out
        assert (photos / ".labelling" / "next-1.png").exists()
        asked += fill(photos)
        said = active("label", photos)
        assert said.code == 0, said.err
        assert f"{number} new answers; {len(asked)} photos labelled" in said.out
    assert len(asked) == len(set(asked)) == 10
    said = active("status", photos)
    assert said.code == 0, said.err
    assert "10 labelled, 0 skipped, 0 asked and open, 2 not asked about" in said.out
    assert "accuracy expected: " in said.out and "guessed right" in said.out
    out = tmp_path / "mine.recogniser"
    said = active("fit", photos, f"--out={out}")
    assert said.code == 0 and "3 classes, 10 photos" in said.out, said.err
    mine = Recogniser.load(out)
    assert mine.classes == ("apple", "book", "cup")
    new = [picture(label, number) for number in range(50, 60) for label in range(3)]
    right = [a.label == name for a, name in zip(mine.predict(new), mine.classes * 10, strict=True)]
    assert sum(right) > 20, right


def test_questions_stay_until_they_are_answered(photos: Path) -> None:
    active("next", photos, "--n=3")
    first = rows(questions(photos))
    said = active("next", photos, "--n=3")
    assert "3 photos to label (0 new, 3 asked about before)" in said.out
    assert rows(questions(photos)) == first
    said = active("next", photos, "--n=5")
    assert "5 photos to label (2 new, 3 asked about before)" in said.out
    assert [row["photo"] for row in rows(questions(photos))[:3]] == [row["photo"] for row in first]
    fill(photos, 2)
    said = active("next", photos, "--n=5")
    assert "next.csv has 2 answers that were not taken yet: run `active label`" in said.complaint
    assert active("label", photos).code == 0
    said = active("next", photos)
    assert "10 photos to label (7 new, 3 asked about before)" in said.out
    assert len(load_state(photos / ".labelling").open) == 10


def test_photos_that_a_person_sorted_are_answers(photos: Path, tmp_path: Path) -> None:
    """Copied elsewhere, or moved into class folders below the photographs themselves."""
    active("next", photos, "--n=2")
    names = [row["photo"] for row in rows(questions(photos))]
    for name in names:
        folder = tmp_path / "sorted" / truth(name)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / name, folder / f"copy of {name}")
    said = active("label", photos, tmp_path / "sorted", "--new_classes")
    assert said.code == 0 and "2 new answers; 2 photos labelled" in said.out, said.err
    for path in sorted(photos.glob("*.png")):
        (photos / truth(path.name)).mkdir(exist_ok=True)
        path.rename(photos / truth(path.name) / path.name)
    assert "2 labelled" in active("status", photos).out, "where a photo lies is no label"
    said = active("label", photos, photos, "--new_classes")
    assert said.code == 0 and "10 new answers; 12 photos labelled" in said.out, said.err


def test_label_studio_and_back(photos: Path, tmp_path: Path) -> None:
    active("next", photos, "--n=6")
    fill(photos, apple0="skip")
    active("label", photos)
    said = active("export", photos, f"--out={tmp_path / 'tasks.json'}", "--address=/data/?d=pile/")
    assert said.code == 0 and "12 tasks" in said.out, said.err
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert tasks[0]["data"]["image"].startswith("/data/?d=pile/")
    assert sum("predictions" in task for task in tasks) == 6
    plain = active("export", photos, f"--out={tmp_path / 'plain.json'}")
    assert plain.code == 0, plain.err
    address = json.loads((tmp_path / "plain.json").read_text())[0]["data"]["image"]
    assert address.startswith(f"/data/local-files/?d={photos.name}/")
    scores = [task["predictions"][0]["score"] for task in tasks[:6]]
    assert scores == sorted(scores)
    assert '<Choice value="book"/>' in (tmp_path / "tasks.xml").read_text()
    assert active("export", photos, f"--out={tmp_path / 'tasks.json'}").code == 0  # once more
    for task in tasks[:6]:
        task["annotations"] = [{"result": task.pop("predictions")[0]["result"]}]
    (tmp_path / "answered.json").write_text(json.dumps(tasks))
    said = active("label", photos, tmp_path / "answered.json")
    assert said.code == 0 and "6 new answers" in said.out and "corrected" not in said.err
    for name, text in (
        ("mine.xml", "<mine/>"),
        ("theirs.json", '[{"id": 1}]'),
        ("no.json", '[{"data": null}]'),
    ):
        (tmp_path / name).write_text(text)
        said = active("export", photos, f"--out={(tmp_path / name).with_suffix('.json')}")
        assert f"{name} is there, and not what export writes" in said.complaint
        assert (tmp_path / name).read_text() == text


def test_a_label_is_corrected_with_a_note(photos: Path, tmp_path: Path) -> None:
    active("next", photos, "--n=4")
    (name, *_) = fill(photos)
    active("label", photos)
    other = "book" if truth(name) == "apple" else "apple"
    (tmp_path / "correction.csv").write_text(f"photo,label\n{name},{other}\n")
    said = active("label", photos, tmp_path / "correction.csv", "--new_classes")
    assert said.code == 0 and f"note: corrected {name}: {truth(name)} -> {other}" in said.err
    found = load_state(photos / ".labelling")
    assert {each.name: each.label for each in found.photos.values()}[name] == other
    # The old answer still stands in the CSV of questions: it neither blocks nor comes back
    again = active("label", photos)
    assert again.code == 0 and "0 new answers" in again.out and "corrected" not in again.err
    said = active("next", photos, "--n=4")
    assert said.code == 0 and "4 photos to label (4 new)" in said.out, said.err
    found = load_state(photos / ".labelling")
    assert {each.name: each.label for each in found.photos.values()}[name] == other


def test_photos_that_cannot_be_read_are_named_and_left_out(photos: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    shutil.copy(photos / "cup0.png", photos / "cup0 copy.png")
    said = active("next", photos)
    assert said.code == 0 and "12 photos to label" in said.out
    assert "broken.jpg" in said.err and "copies of others, left out: 1" in said.err
    assert "Traceback" not in said.err


def test_a_process_that_is_killed_loses_nothing(photos: Path, tmp_path: Path) -> None:
    """Whenever it is: the state is the one before or the one after."""
    active("next", photos, "--n=6")
    names = fill(photos)
    state = photos / ".labelling"
    questions(photos).rename(tmp_path / "answers.csv")
    code = f"""
from pathlib import Path
from metalearn.labelling.work import Place, take_answers
place = Place(Path({str(photos)!r}), Path({str(state)!r}))
print("begin", flush=True)
while True:
    for label in ("one", "two"):
        lines = ["photo,label"] + [f"{{name}},{{label}}" for name in {names!r}]
        Path({str(tmp_path / "own.csv")!r}).write_text("\\n".join(lines))
        take_answers(place, Path({str(tmp_path / "own.csv")!r}), True)
"""
    for delay in (0, 0.007, 0.05):
        command = [sys.executable, "-c", code]
        with subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE
        ) as running:
            assert running.stdout is not None and running.stdout.readline() == b"begin\n"
            time.sleep(delay)
            running.send_signal(signal.SIGKILL)
        found = load_state(state)
        assert len(found.photos) == 6
        assert set(found.labelled.values()) in (set(), {"one"}, {"two"})
    said = active("label", photos, tmp_path / "answers.csv", "--new_classes")
    assert said.code == 0 and "6 photos labelled" in said.out
    assert not list(state.glob("*.part"))


@pytest.mark.parametrize("step", ["save_state", "write_questions", "write_sheets"])
def test_a_round_that_is_cut_off_is_asked_again(
    step: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any of its steps; the same photographs, and none is lost."""

    def cut_off(*words: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(work, step, cut_off)
        assert active("next", photos, "--n=4").code == 128 + signal.SIGINT
    before = list(load_state(photos / ".labelling").open)
    assert len(before) == (0 if step == "save_state" else 4)
    assert active("next", photos, "--n=4").code == 0
    after = list(load_state(photos / ".labelling").open)
    assert len(after) == len(rows(questions(photos))) == 4 and (not before or before == after)


WRONG: list[tuple[list[str], str]] = [
    (["ask", "PHOTOS"], "no command 'ask': choose one of next, label, status, fit, export"),
    (["next"], "next takes the folder of your photos"),
    (["next", "PHOTOS", "PHOTOS"], "and nothing else"),
    (["next", "ABSENT"], "there is no folder"),
    (["next", "EMPTY"], "has no photo"),
    (["next", "PHOTOS", "--n=0"], "--n=0"),
    (["next", "PHOTOS", "--n=13"], "--n=13: only 10 photos are left"),
    (["next", "PHOTOS", "--strategy=best"], "--strategy=best"),
    (["next", "PHOTOS", "--classes=-1"], "--classes=-1"),
    (["next", "PHOTOS", "--state=ANSWERS"], "is a file: give a folder as --state"),
    (["next", "PHOTOS", "--state=PHOTOS"], "is the folder of the photos"),
    (["next", "PHOTOS", "--out=OUT"], ", not of `next`: leave it out"),
    (["next", "PHOTOS", "--state=ANSWERS/below"], "cannot read"),
    (["label", "PHOTOS", "ABSENT.csv"], "there is no file"),
    (["label", "PHOTOS", "EMPTY"], "has no class folder with a photo"),
    (["label", "PHOTOS", "ANSWERS", "ANSWERS"], "label takes the folder of your photos"),
    (["label", "PHOTOS", "ANSWERS"], "row 3 of answers.csv: 'aple' is none of the classes so far"),
    (["label", "PHOTOS", "LOST"], "row 2 of lost.csv: there is no photo gone.png"),
    (["label", "PHOTOS", "PHOTOS/apple0.png"], "is no text|has no columns"),
    (["label", "PHOTOS", "--n=3"], ", not of `label`: leave it out"),
    (["label", "OTHER"], "next.csv: `active next` writes it"),
    (["status", "ABSENT"], "there is no folder"),
    (["status", "DAMAGED"], "state.json is damaged"),
    (["next", "DAMAGED"], "state.json is damaged"),
    (["label", "DAMAGED"], "state.json is damaged"),
    (["fit", "PHOTOS"], "give --out="),
    (["fit", "OTHER", "--out=OUT"], "is labelled yet: begin with `active next`"),
    (["fit", "ONE", "--out=OUT"], "1 class with photos: give those of two"),
    (["export", "PHOTOS"], "export needs a file to write"),
    (["export", "PHOTOS", "--out=EMPTY"], "is a folder"),
    (["export", "PHOTOS", "--out=PHOTOS/apple0.png"], "give a name that ends in .json"),
]


@pytest.fixture(scope="module")
def wrong(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Places of all kinds; the photographs are labelled in part."""
    root = tmp_path_factory.mktemp("wrong")
    places = {name: root / name.lower() for name in ("ABSENT", "EMPTY", "OUT", "OTHER", "DAMAGED")}
    places |= {"PHOTOS": root / "photos", "ONE": root / "one"}
    places["EMPTY"].mkdir()
    for name in ("PHOTOS", "OTHER", "DAMAGED", "ONE"):
        shutil.copytree(whole, places[name])
    for name, labels in (("PHOTOS", "apple,book"), ("ONE", "apple,apple")):
        (first, second) = labels.split(",")
        text = f"photo,label\napple0.png,{first}\nbook0.png,{second}\n"
        (root / "begin.csv").write_text(text)
        assert active("label", places[name], root / "begin.csv").code == 0
    (places["DAMAGED"] / ".labelling").mkdir()
    (places["DAMAGED"] / ".labelling" / "state.json").write_text('{"version": 1')
    places["ANSWERS"] = root / "answers.csv"
    places["ANSWERS"].write_text("photo,label\napple1.png,apple\napple2.png,aple\n")
    places["LOST"] = root / "lost.csv"
    places["LOST"].write_text("photo,label\ngone.png,apple\n")
    return places


@pytest.mark.parametrize(("words", "message"), WRONG, ids=[" ".join(w) for w, _ in WRONG])
def test_what_is_wrong_is_said_in_one_line(
    words: list[str], message: str, wrong: dict[str, Path]
) -> None:
    """And what was asked and answered stays as it was."""
    before = contents(wrong["PHOTOS"])
    for name, place in wrong.items():
        words = [word.replace(name, str(place)) for word in words]
    said = active(*words)
    assert any(part in said.complaint for part in message.split("|")) and not said.out, said
    after = contents(wrong["PHOTOS"])
    assert {name: after[name] for name in before} == before and not wrong["OUT"].exists()
    assert not [name for name in after.keys() - before.keys() if "lock" not in name]


def test_a_second_process_is_told_to_wait(photos: Path) -> None:
    with held(photos / ".labelling"):
        for command in ("next", "label"):
            said = active(command, photos)
            assert "another process works with" in said.complaint
    assert active("next", photos, "--n=2").code == 0


def test_a_state_may_be_kept_elsewhere(photos: Path, tmp_path: Path) -> None:
    state = tmp_path / "my labels"
    assert active("next", photos, "--n=2", f"--state={state}").code == 0
    assert not (photos / ".labelling").exists() and len(load_state(state).open) == 2


def test_help_names_commands_and_the_flags_of_one(tmp_path: Path) -> None:
    every = process("active", "--help", cwd=tmp_path)
    assert every.code == 0 and "next DIR" in every.out and "--draws" in every.out
    of_one = process("active", "next", "--help", cwd=tmp_path)
    assert of_one.code == 0 and "--draws" not in of_one.out
    for word in ("label DIR", "--strategy", "--[no]new_classes", "--state"):
        assert word in of_one.out
