"""The program `personalise`, from photographs in folders to answers.

With a tiny body in the place of the default one, as that takes seconds to compile; one test is of
EfficientNet-Lite0 itself.
"""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments._cli import personal
from metalearn.models.zoo import load_body
from metalearn.personal import embedding, probed
from metalearn.personal.embedding import BODY
from metalearn.personal.views import list_of, views_named
from metalearn.recogniser import Recogniser
from metalearn.types import Body
from tests.programs import ROOT, Said, environment, process, program
from tests.training.tiny_body import tiny_body

COLOURS = {"red": (210, 40, 40), "green": (40, 190, 60), "blue": (50, 60, 200)}
ODD = "café ☕ to go"


def photo(path: Path, colour: tuple[int, int, int], number: int) -> Path:
    """A round thing of a colour on a grey ground, elsewhere in each photograph."""
    rng = np.random.default_rng([*colour, number])
    (down, across) = np.mgrid[:96, :128]
    (y, x) = (48, 64) + rng.integers(-12, 13, 2)
    inside = (down - y) ** 2 + (across - x) ** 2 < 30**2
    pixels = np.where(inside[..., None], colour, 150) + rng.normal(0, 12, (96, 128, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, quality=90)
    return path


def personalise(*words: object) -> Said:
    return program("personalise", *map(str, words))


@pytest.fixture(scope="module", autouse=True)
def _tiny() -> Iterator[None]:
    """The default body, with its installed weights, is a tiny one inside this process."""

    def load_tiny(name: str, weights: str | None = None) -> Body:
        return tiny_body() if name == BODY and weights is None else load_body(name, weights)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "load_body", load_tiny)
        patch.setattr(probed, "make_body", lambda name: tiny_body())
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photographs of each of three classes."""
    folder = tmp_path_factory.mktemp("personal") / "photos"
    for name, colour in COLOURS.items():
        for number in range(3):
            photo(folder / name / f"{name} {number}.jpg", colour, number)
    return folder


@pytest.fixture(scope="module")
def fitted(photos: Path) -> Path:
    """The file of a recogniser of them; no test may change it."""
    path = photos.parent / "mine.recogniser"
    said = personalise("fit", photos, f"--out={path}")
    assert said.code == 0, said.err
    assert "3 classes, 9 photos (3 a class); head: ridge" in said.out
    assert "accuracy expected: " in said.out and f"wrote {path}" in said.out
    assert path.stat().st_size < 100_000
    return path


@pytest.fixture
def mine(fitted: Path, tmp_path: Path) -> Path:
    """A copy of the recogniser."""
    return Path(shutil.copy(fitted, tmp_path / "mine.recogniser"))


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A folder with other photographs."""
    for name, colour in COLOURS.items():
        photo(tmp_path / "new" / f"{name}.jpg", colour, 77)
    return tmp_path / "new"


def test_efficientnet_tells_photos_apart(photos: Path, new: Path, tmp_path: Path) -> None:
    """From weights that are installed with the project to answers, in processes of their own."""
    optimised = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0", "XLA_FLAGS": ""}  # or it runs for long
    said = process("personalise", "fit", str(photos), "--out=mine", cwd=tmp_path, **optimised)
    assert said.code == 0, said.err
    assert (tmp_path / "mine").stat().st_size < 100_000
    words = ("predict", "mine", str(new), "--json")
    said = process("personalise", *words, cwd=tmp_path, **optimised)
    assert said.code == 0 and not said.err
    assert [one["likeliest"] for one in json.loads(said.out)] == ["blue", "green", "red"]


def test_photos_are_answered_in_columns(fitted: Path, new: Path) -> None:
    said = personalise("predict", fitted, new)
    assert said.code == 0 and not said.err
    lines = said.out.splitlines()
    assert lines[0].split() == ["photo", "answer", "probability", "familiarity", "looks", "like"]
    assert len(lines) == 4
    for line in lines[1:]:
        name = line.split(".jpg")[0]
        assert name in line.split(".jpg")[1], "the class is named, known or not"


def test_answers_are_json_with_all_probabilities(fitted: Path, new: Path) -> None:
    said = personalise("predict", fitted, new / "red.jpg", new / "blue.jpg", "--json")
    answers = json.loads(said.out)
    assert [one["photo"] for one in answers] == ["red.jpg", "blue.jpg"]
    assert [one["likeliest"] for one in answers] == ["red", "blue"]
    for one in answers:
        assert one["probabilities"].keys() == COLOURS.keys()
        assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert one["answer"] in (one["likeliest"], "unknown")
        assert one["nearest"][0]["class"] == one["likeliest"]


def test_answers_are_csv_with_a_heading(fitted: Path, new: Path) -> None:
    said = personalise("predict", fitted, new, "--csv")
    rows = list(csv.DictReader(io.StringIO(said.out)))
    assert [row["likeliest"] for row in rows] == ["blue", "green", "red"]
    assert all(0 < float(row["probability"]) <= 1 for row in rows)


def test_a_photo_is_answered_alike_alone_and_among_others(fitted: Path, new: Path) -> None:
    together = json.loads(personalise("predict", fitted, new, "--json").out)
    (alone,) = json.loads(personalise("predict", fitted, new / "green.jpg", "--json").out)
    assert together[1]["photo"] == "green.jpg"
    assert alone["probability"] == pytest.approx(together[1]["probability"], abs=1e-4)


def test_added_photos_give_the_recogniser_of_all_photos_together(
    fitted: Path, photos: Path, tmp_path: Path
) -> None:
    """A class at a time: a second one joins the first, and a third is taken away again."""
    two = tmp_path / "two"
    for name in ("red", "green"):
        shutil.copytree(photos / name, two / name)
    (first, second) = (tmp_path / "first", tmp_path / "second")
    assert personalise("fit", two, f"--out={first}").code == 0
    said = personalise("add", first, "--class=blue", photos / "blue", f"--out={second}")
    assert said.code == 0, said.err
    assert "3 classes, 9 photos" in said.out
    new = photo(tmp_path / "new.jpg", COLOURS["blue"], 5)
    answers = [
        json.loads(personalise("predict", path, new, "--json").out) for path in (fitted, second)
    ]
    assert answers[0][0]["probability"] == pytest.approx(answers[1][0]["probability"], abs=1e-3)
    said = personalise("remove", second, "--class=blue")
    assert said.code == 0 and "2 classes, 6 photos" in said.out
    assert "blue" not in personalise("show", second).out


def test_a_class_is_named_alike_however_it_is_written(
    mine: Path, photos: Path, new: Path, tmp_path: Path
) -> None:
    """macOS writes an accent as a character of its own; a space at the end is not seen."""
    for name in ("caf\u00e9", "cafe\u0301", " cafe\u0301  "):
        said = personalise("add", mine, f"--class={name}", new)
        assert said.code == 0 and "4 classes" in said.out, said
    said = personalise("remove", mine, "--class=cafe\u0301")
    assert said.code == 0 and "3 classes" in said.out
    shutil.copytree(photos, tmp_path / "spaced")
    (tmp_path / "spaced" / "red").rename(tmp_path / "spaced" / "red ")
    assert personalise("fit", tmp_path / "spaced", f"--out={tmp_path / 'out'}").code == 0
    assert Recogniser.load(tmp_path / "out").classes == ("blue", "green", "red")


def test_photos_of_one_name_are_told_apart_by_their_paths(
    fitted: Path, new: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(new, tmp_path / "other")
    said = personalise("predict", fitted, new / "red.jpg", other / "red.jpg", "--csv")
    rows = list(csv.DictReader(said.out.splitlines()))
    assert [row["photo"] for row in rows] == [str(new / "red.jpg"), str(other / "red.jpg")]


def test_adding_photos_again_says_that_they_are_there(mine: Path, photos: Path) -> None:
    said = personalise("add", mine, "--class=red", photos / "red")
    assert said.code == 0 and "note: 3 of 3 photos were there already" in said.err
    assert "3 classes, 9 photos" in said.out


def test_a_recogniser_is_shown(fitted: Path) -> None:
    said = personalise("show", fitted)
    assert said.code == 0
    assert "3 classes, 9 photos; made " in said.out and "efficientnet-lite0" in said.out
    assert [line.split() for line in said.out.splitlines()[1:4]] == [
        [name, "3"] for name in sorted(COLOURS)
    ]


def test_a_recogniser_is_evaluated_on_its_own_photos_and_on_others(
    fitted: Path, tmp_path: Path
) -> None:
    said = personalise("evaluate", fitted)
    assert said.code == 0 and "accuracy " in said.out and "confusion" in said.out
    for number in range(2):
        photo(tmp_path / "labelled" / "red" / f"{number}.jpg", COLOURS["red"], 40 + number)
        photo(tmp_path / "labelled" / "pink" / f"{number}.jpg", (240, 130, 180), number)
    said = personalise("evaluate", fitted, tmp_path / "labelled")
    assert said.code == 0 and "2 photos of other classes: " in said.out
    assert "accuracy 100.0 %" in said.out
    assert "not among its classes, tested as unknown: pink" in said.err
    assert "it was fitted to" not in said.err


def test_photos_that_it_was_fitted_to_are_told(mine: Path, photos: Path) -> None:
    said = personalise("evaluate", mine, photos)
    assert said.code == 0 and "it was fitted to 9 of these photos" in said.err
    said = personalise("add", mine, "--class=blue", photos / "red" / "red 0.jpg")
    assert said.code == 0 and "is learned as red already" in said.err


def test_a_file_that_another_process_changed_is_not_replaced(
    mine: Path, new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where two photos are added at once: the second would lose the first."""
    added = personal.added

    def meanwhile(*given: object) -> object:
        mine.write_bytes(mine.read_bytes() + b" ")
        return added(*given)

    monkeypatch.setattr(personal, "added", meanwhile)
    said = personalise("add", mine, "--class=red", new)
    assert "was changed by another process meanwhile: nothing was written" in said.complaint


def test_archives_of_others_are_not_replaced(photos: Path, mine: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("a.jpg", "a picture")
    said = personalise("fit", photos, f"--out={tmp_path / 'photos.zip'}")
    assert "is there, and no recogniser" in said.complaint
    os.mkfifo(tmp_path / "pipe")
    said = personalise("fit", photos, f"--out={tmp_path / 'pipe'}")
    assert "is there, and no recogniser" in said.complaint
    for name in (mine, tmp_path / "photos.zip"):
        said = personalise("export", mine, "--format=onnx", f"--out={name}")
        assert "is there, and no export" in said.complaint


def test_views_are_of_the_recogniser(photos: Path, new: Path, tmp_path: Path) -> None:
    """Those that were named when it was fitted, whoever asks it."""
    path = tmp_path / "mine"
    said = personalise("fit", photos, f"--out={path}", "--views=wide")
    assert said.code == 0, said.err
    assert (
        "which is shown 2 views of a photo, 4 of those fitted to" in personalise("show", path).out
    )
    mine = Recogniser.load(path)
    assert mine.fitted.model.made_of["views"] == list_of(views_named("wide", 160, 8))
    assert [answer.label for answer in mine.predict(new)] == ["blue", "green", "red"]


def test_labelled_photos_are_moved_among_unlabelled_ones(photos: Path, tmp_path: Path) -> None:
    """Below twenty unlabelled photographs a class, transport is warned of."""
    out = f"--out={tmp_path / 'mine'}"
    said = personalise("fit", photos, out, f"--unlabelled={photos}", "--adapt=transport")
    assert said.code == 0, said.err
    assert "3 classes among 9 unlabelled photos: below 60 of them" in said.err
    assert "features of its photos moved: transport by 9 unlabelled photos" in said.out
    assert "moved: transport by 9" in personalise("show", tmp_path / "mine").out


def test_with_its_body_it_works_where_no_weights_are_installed(
    photos: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After photographs were added there, too."""
    path = tmp_path / "whole.recogniser"
    said = personalise("fit", photos, f"--out={path}", "--include_body")
    assert said.code == 0, said.err

    def absent(*words: object) -> None:
        raise AssertionError("installed weights are looked for")

    monkeypatch.setattr(embedding, "load_body", absent)
    said = personalise("add", path, "--class=red", new / "red.jpg")
    assert said.code == 0, said.err
    said = personalise("predict", path, new)
    assert said.code == 0, said.err


def test_names_of_any_characters_are_names(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my photos"
    for name in ("red", "green"):
        shutil.copytree(photos / name, folder / name)
    photo(folder / ODD / "été 📷.jpg", (120, 80, 40), 0)
    photo(folder / "-dash" / "-1.jpg", (250, 250, 250), 0)
    out = tmp_path / "mine 🙂.recogniser"
    said = personalise("fit", f"--out={out}", "--", folder)
    assert said.code == 0, said.err
    said = personalise("predict", out, folder / ODD, "--json")
    assert json.loads(said.out)[0]["likeliest"] == ODD


def test_names_that_begin_with_a_dash_come_after_two(
    fitted: Path, new: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(fitted, tmp_path / "-mine")
    shutil.copy(new / "red.jpg", tmp_path / "-red.jpg")
    monkeypatch.chdir(tmp_path)
    said = personalise("predict", "--json", "--", "-mine", "-red.jpg")
    assert said.code == 0 and json.loads(said.out)[0]["photo"] == "-red.jpg"


def test_photos_that_cannot_be_read_come_after_answers_for_the_others(
    fitted: Path, new: Path
) -> None:
    (new / "green.jpg").write_text("no image\n")
    for form in ("--nojson", "--json", "--csv"):
        said = personalise("predict", fitted, new, form)
        assert "green.jpg" in said.complaint and "1 of the photos cannot be read" in said.complaint
        assert "blue.jpg" in said.out and "red.jpg" in said.out


def test_a_photo_that_cannot_be_read_is_named_before_anything_is_fitted(
    photos: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    (folder / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    out = tmp_path / "out"
    said = personalise("fit", folder, f"--out={out}")
    assert "broken.jpg" in said.complaint and not out.exists()


def test_one_photo_in_two_classes_is_warned_of(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    shutil.copy(photos / "red" / "red 0.jpg", folder / "blue" / "again.jpg")
    said = personalise("fit", folder, f"--out={tmp_path / 'out'}")
    assert said.code == 0 and "warning: the same photo in 2 classes" in said.err


PLACES = ("FITTED", "PHOTOS", "NEW", "OUT", "EMPTY", "LOOSE", "ONE", "DAMAGED", "TEXT")
WRONG: list[tuple[list[str], str]] = [
    ([], "a command is missing"),
    (["guess"], "no command 'guess': choose one of fit, predict"),
    (["fit"], "fit takes a folder with a folder of photos for each class"),
    (["fit", "PHOTOS", "PHOTOS", "--out=OUT"], "and nothing else beside flags"),
    (["fit", "PHOTOS"], "give --out="),
    (["fit", "PHOTOS", "--out=EMPTY"], "is a folder: give the name of a file"),
    (["fit", "EMPTY/absent", "--out=OUT"], "there is no folder"),
    (["fit", "EMPTY", "--out=OUT"], "has no class folder with a photo"),
    (["fit", "LOOSE", "--out=OUT"], "has no class folder with a photo"),
    (["fit", "FITTED", "--out=OUT"], "there is no folder"),
    (["fit", "ONE", "--out=OUT"], "1 class with photos: give those of two"),
    (["fit", "PHOTOS", "--out=OUT", "--method=forest"], "--method=forest"),
    (["fit", "PHOTOS", "--out=OUT", "--backbone=forest"], "forest"),
    (["fit", "PHOTOS", "--out=OUT", "--views=none"], "--views=none"),
    (["fit", "PHOTOS", "--out=OUT", "--weights=EMPTY/absent"], "absent"),
    (["fit", "PHOTOS", "--out=OUT", "--unknown_rate=0"], "an unknown rate of 0.0"),
    (["fit", "PHOTOS", "--out=OUT", "--unknown_rate=few"], "--unknown_rate=few"),
    (["fit", "PHOTOS", "--out=OUT", "--adapt=coral"], "give --unlabelled=DIR"),
    (["fit", "PHOTOS", "--out=OUT", "--unlabelled=NEW"], "3 unlabelled photos: give 5 or more"),
    (["fit", "PHOTOS", "--out=OUT", "--unlabelled="], "--unlabelled names no folder"),
    (["add", "FITTED", "NEW", "--class=red", "--unlabelled=NEW"], ", not of `add`: leave it out"),
    (["fit", "PHOTOS", "--out=OUT", "--unlabelled=EMPTY"], "EMPTY has no photo"),
    (["fit", "PHOTOS", "--out=OUT", "--unlabelled=EMPTY/absent"], "there is no file or folder"),
    (["fit", "PHOTOS", "--out=OUT", "--unlabelled=PHOTOS", "--adapt=tca"], "--adapt=tca"),
    (["fit", "PHOTOS", "--out=OUT", "--fast"], "Unknown command line flag 'fast'"),
    (["fit", "PHOTOS", "--out=TEXT/out"], "cannot write"),
    (["fit", "PHOTOS", "--out=~nobody-of-this-name/out"], "no home folder"),
    (["predict"], "predict takes a recogniser's file, then photos or folders"),
    (["predict", "FITTED"], "predict takes a recogniser's file, then photos or folders"),
    (["predict", "EMPTY/absent", "NEW"], "is not there: `fit` makes a recogniser"),
    (["predict", "PHOTOS", "NEW"], "is a folder, not a recogniser's file"),
    (["predict", "DAMAGED", "NEW"], "is no recogniser, or damaged"),
    (["predict", "TEXT", "NEW"], "is no recogniser, or damaged"),
    (["predict", "NEW/red.jpg", "FITTED"], "is no recogniser, or damaged"),
    (["predict", "FITTED", "EMPTY/absent.jpg"], "there is no file or folder"),
    (["predict", "FITTED", "EMPTY"], "has no photo"),
    (["predict", "FITTED", "NEW", "--json", "--csv"], "--json and --csv: choose one of them"),
    (["add", "FITTED", "NEW"], "add needs the name of a class: give --class=NAME"),
    (["add", "FITTED", "NEW", "--class= "], "add needs the name of a class"),
    (["add", "FITTED", "--class=red"], "add takes a recogniser's file, then photos or folders"),
    (["add", "DAMAGED", "NEW", "--class=red"], "is no recogniser, or damaged"),
    (["add", "FITTED", "TEXT", "--class=red"], "cannot be read"),
    (["add", "FITTED", "NEW", "--class=red", "--out=EMPTY"], "EMPTY"),
    (["remove", "FITTED"], "remove needs the name of a class"),
    (["remove", "FITTED", "--class=pink"], "no class 'pink': it has blue, green, red"),
    (["remove", "FITTED", "red"], "and nothing else beside flags"),
    (["show"], "show takes a recogniser's file"),
    (["show", "TEXT"], "is no recogniser, or damaged"),
    (["show", "/dev/zero"], "is no file: name that of a recogniser"),
    (["add", "/dev/zero", "NEW", "--class=red", "--out=OUT"], "is no file: name that of a"),
    (["remove", "FITTED", "--class=red", "--weights=TEXT"], "with --include_body alone"),
    (["evaluate"], "evaluate takes a recogniser's file"),
    (["evaluate", "FITTED", "--weights=TEXT"], "without a folder of photos reads no --weights"),
    (["evaluate", "FITTED", "EMPTY"], "has no class folder with a photo"),
    (["evaluate", "FITTED", "ONE"], "no photo is of a class of this recogniser"),
    (["show", "FITTED", "--json"], ", not of `show`: leave it out"),
    (["show", "FITTED", "--class=red"], ", not of `show`: leave it out"),
    (["predict", "FITTED", "NEW", "--out=OUT"], ", not of `predict`: leave it out"),
    (["predict", "FITTED", "NEW", "--unknown_rate=0.5"], ", not of `predict`: leave it out"),
    (["add", "FITTED", "NEW", "--class=red", "--method=ridge"], ", not of `add`: leave it out"),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=[" ".join(w) for w, _ in WRONG])
def test_what_is_wrong_is_said_in_one_line(
    words: list[str], message: str, fitted: Path, photos: Path, new: Path, tmp_path: Path
) -> None:
    """And the recogniser stays as it was."""
    before = fitted.read_bytes()
    (tmp_path / "empty").mkdir()
    photo(tmp_path / "loose" / "one.jpg", COLOURS["red"], 0)
    photo(tmp_path / "one" / "alone" / "one.jpg", COLOURS["red"], 0)
    (tmp_path / "damaged").write_bytes(before[: len(before) // 2])
    (tmp_path / "text").write_text("a text\n")
    places = {
        "FITTED": fitted,
        "PHOTOS": photos,
        "NEW": new,
        **{name: tmp_path / name.lower() for name in PLACES[3:]},
    }
    for name, place in places.items():
        words = [word.replace(name, str(place)) for word in words]
        message = message.replace(name, str(place))
    said = personalise(*words)
    assert message in said.complaint and not said.out
    assert fitted.read_bytes() == before and not (tmp_path / "out").exists()


def started(*words: object, **options: object) -> subprocess.Popen:
    command = [sys.executable, "-m", "experiments.personalise", *map(str, words)]
    # What ignores Ctrl-C, as in the background of a shell, starts programs that do
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **{"env": environment(), **options},
        )
    finally:
        signal.signal(signal.SIGINT, inherited)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_nobody_reads_is_no_error(fitted: Path, unbuffered: str) -> None:
    """As with `| head -0`, whether Python writes each line at once or all at the end."""
    env = environment(PYTHONUNBUFFERED=unbuffered)
    with started("show", fitted, env=env) as process:
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode in (0, 128 + signal.SIGPIPE) and "Traceback" not in err
    assert not err


def test_ctrl_c_ends_it_without_a_traceback_and_leaves_no_file(tmp_path: Path) -> None:
    for number in range(30):
        for name, colour in COLOURS.items():
            photo(tmp_path / "many" / name / f"{number}.jpg", colour, number)
    out = tmp_path / "out" / "it"
    with started("fit", tmp_path / "many", f"--out={out}") as process:
        while not out.parent.exists() and process.poll() is None:  # made when work begins
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        (text, err) = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT, err
    assert "Traceback" not in err and "interrupted" in err and not text
    assert os.listdir(out.parent) == []


def test_help_names_commands_and_flags(tmp_path: Path) -> None:
    said = process("personalise", "--help", cwd=tmp_path)
    assert said.code == 0
    for word in ("fit DIR --out=", "--class", "--unknown_rate", "--[no]include_body", "--[no]json"):
        assert word in said.out


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, experiments.personalise, experiments._cli.personal, metalearn.recogniser;"
    code += "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    heavy = {"tensorflow_datasets", "tensorflow", "orbax", "matplotlib", "sklearn", "tensorboardX"}
    assert (heavy | {"optax", "scipy"}) & set(done.stdout.split()) == set()
