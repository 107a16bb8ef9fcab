"""A recogniser's file: what it gives back, and what is said of files that are damaged or made up."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from metalearn.errors import UserError
from metalearn.personal import probed
from metalearn.personal.answers import answer
from metalearn.personal.changing import added
from metalearn.personal.embedding import Embedding
from metalearn.personal.file import ABOUT, ARRAYS, BODY, FORMAT
from metalearn.personal.fitted import Expected, Fitted
from metalearn.personal.opening import load_fitted, save_fitted
from metalearn.types import Body
from tests.personal.made import shots, tiny, tiny_embedder
from tests.training.tiny_body import tiny_body

ASKED = [*shots(0, 2, first=5), *shots(4, 1)]


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny body is one of those that are installed."""

    def load_tiny(body: str, weights: object, views: object) -> Embedding:
        assert body == "tiny"
        return tiny_embedder().embedding

    def make_tiny(name: str) -> Body:
        assert name == "tiny"
        return tiny_body()

    monkeypatch.setattr(probed, "load_embedding", load_tiny)
    monkeypatch.setattr(probed, "make_body", make_tiny)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return tiny(3, 1, 2)


@pytest.fixture
def path(fitted: Fitted, tmp_path: Path) -> Path:
    save_fitted(fitted, tmp_path / "mine.recogniser")
    return tmp_path / "mine.recogniser"


def assert_answers_alike(one: Fitted, other: Fitted) -> None:
    for mine, theirs in zip(answer(one, ASKED), answer(other, ASKED), strict=True):
        np.testing.assert_array_equal(mine.probabilities, theirs.probabilities)
        assert mine._replace(probabilities=0) == theirs._replace(probabilities=0)


@pytest.mark.parametrize("method", ["centroid", "ridge"])
@pytest.mark.parametrize("include_body", [False, True])
def test_a_file_gives_the_same_answers_bit_for_bit(
    method: str, include_body: bool, tmp_path: Path
) -> None:
    before = tiny(3, 1, 2, method=method)
    save_fitted(before, tmp_path / "it", include_body)
    after = load_fitted(tmp_path / "it")
    assert_answers_alike(before, after)
    told = ("classes", "temperature", "threshold", "unknown_rate", "expected", "chosen", "made")
    for name in told:
        assert getattr(after, name) == getattr(before, name)
    assert after.photos._replace(labels=0, kept=0) == before.photos._replace(labels=0, kept=0)
    more = {"door": shots(3, 2)}
    assert_answers_alike(added(before, more), added(after, more))


@pytest.mark.parametrize("include_body", [False, True])
def test_a_recogniser_is_always_the_same_file(
    include_body: bool, fitted: Fitted, tmp_path: Path
) -> None:
    """Written twice, or read and written again."""
    places = [tmp_path / name for name in ("one", "two", "three")]
    save_fitted(fitted, places[0], include_body)
    save_fitted(fitted, places[1], include_body)
    save_fitted(load_fitted(places[0]), places[2], include_body)
    (one, two, three) = [place.read_bytes() for place in places]
    assert one == two == three
    assert sorted(tmp_path.iterdir()) == sorted(places), "nothing else is left"


def test_with_its_body_a_file_needs_no_installed_weights(
    fitted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*words: object) -> None:
        raise UserError("no weights are installed")

    for name, include_body in (("with", True), ("without", False)):
        save_fitted(fitted, tmp_path / name, include_body)
    monkeypatch.setattr(probed, "load_embedding", absent)
    assert_answers_alike(load_fitted(tmp_path / "with"), fitted)
    without = load_fitted(tmp_path / "without")
    assert without.classes == fitted.classes, "it can be shown"
    with pytest.raises(UserError, match="no weights are installed"):
        answer(without, ASKED)


def test_a_body_that_came_with_a_file_goes_with_it(
    fitted: Fitted, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When photographs are added where no weights are installed, too."""
    save_fitted(fitted, path, include_body=True)
    monkeypatch.setattr(probed, "load_embedding", None)
    more = added(load_fitted(path), {"door": shots(3, 2)})
    save_fitted(more, path)
    assert_answers_alike(load_fitted(path), more)


def test_weights_that_are_given_come_before_those_in_the_file(
    fitted: Fitted, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_fitted(fitted, path, include_body=True)
    asked = []

    def given(body: str, weights: object, views: object) -> Embedding:
        asked.append(weights)
        return tiny_embedder().embedding

    monkeypatch.setattr(probed, "load_embedding", given)
    assert_answers_alike(load_fitted(path, "their.safetensors"), fitted)
    assert asked == ["their.safetensors"]


def test_other_weights_than_it_was_fitted_with_are_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedding = tiny_embedder().embedding
    other = embedding._replace(shown=embedding.shown._replace(weights="0" * 64))
    monkeypatch.setattr(probed, "load_embedding", lambda *words: other)
    with pytest.raises(UserError, match="^this recogniser was fitted with other weights[^\n]*$"):
        answer(load_fitted(path), ASKED)


def refusal(path: Path) -> str:
    """What is said of a damaged file, in one line that names it."""
    with pytest.raises(UserError) as caught:
        answer(load_fitted(path), ASKED)
    said = str(caught.value)
    assert "\n" not in said and str(path) in said
    return said


Change = Callable[[dict[str, Any], dict[str, np.ndarray]], None]


def parts_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_parts(path: Path, parts: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)


def changed(path: Path, change: Change) -> None:
    """Write the file again with other parts."""
    parts = parts_of(path)
    about = json.loads(parts[ABOUT])
    arrays = load(parts[ARRAYS])
    change(about, arrays)
    write_parts(path, parts | {ABOUT: json.dumps(about).encode(), ARRAYS: save(arrays)})


def test_what_is_no_recogniser_is_refused(tmp_path: Path, path: Path) -> None:
    for made in (
        b"",
        b"a text\n" * 20,
        pickle.dumps({"kind": "recogniser"}),
        b"PK\5\6" + bytes(18),
    ):
        (tmp_path / "it").write_bytes(made)
        assert "is no recogniser, or damaged" in refusal(tmp_path / "it")
    with pytest.raises(UserError, match="is not there: `fit` makes a recogniser"):
        load_fitted(tmp_path / "absent")
    with pytest.raises(UserError, match="is a folder"):
        load_fitted(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(path: Path) -> None:
    path.chmod(0)
    assert "cannot be read: Permission denied" in refusal(path)


@pytest.mark.parametrize("missing", [ABOUT, ARRAYS])
def test_a_file_without_a_part_is_refused(missing: str, path: Path) -> None:
    write_parts(path, {name: part for name, part in parts_of(path).items() if name != missing})
    assert missing in refusal(path)


def test_a_cut_file_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    for share in range(40):
        path.write_bytes(whole[: len(whole) * share // 40])
        refusal(path)
    path.write_bytes(whole[:-1])
    refusal(path)


def test_a_file_with_a_flipped_byte_is_refused_or_is_the_same(path: Path, fitted: Fitted) -> None:
    """Every byte of the zip's directories and headers, and many of what is compressed.

    Some bytes, such as dates, change nothing.
    """
    whole = path.read_bytes()
    ends = whole.index(b"PK\1\2")
    places = [*range(64), *range(64, ends, max(1, ends // 150)), *range(ends, len(whole))]
    refused = 0
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 0xFF
        path.write_bytes(flipped)
        try:
            found = load_fitted(path)
        except UserError as error:
            assert "\n" not in str(error) and str(path) in str(error)
            refused += 1
            continue
        for name, part in fitted.state.items():
            np.testing.assert_array_equal(part, found.state[name])
        assert found.classes == fitted.classes and found.threshold == fitted.threshold
    assert refused > len(places) // 2


@pytest.mark.parametrize("bit", range(8))
def test_flags_of_the_zip_that_say_other_things_are_refused(bit: int, path: Path) -> None:
    """Such as that a part is encrypted, or compressed in another way."""
    whole = path.read_bytes()
    directory = whole.index(b"PK\1\2")
    for place in (4, 6, 8, 10):  # version, flags and method, of the file and of its directory
        for start in (0, directory + 2):
            flipped = bytearray(whole)
            flipped[start + place] ^= 1 << bit
            path.write_bytes(flipped)
            try:
                load_fitted(path)
            except UserError as error:
                assert "\n" not in str(error) and str(path) in str(error)


def drop(name: str) -> Change:
    return lambda about, arrays: about.pop(name, None)


def say(name: str, value: object) -> Change:
    return lambda about, arrays: about.update({name: value})


def of_model(name: str, value: object) -> Change:
    return lambda about, arrays: about["model"].update({name: value})


def array(name: str, value: np.ndarray) -> Change:
    return lambda about, arrays: arrays.update({name: value})


def without(*names: str) -> Change:
    def change(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        for name in names:
            del arrays[name]

    return change


def nan_in(name: str) -> Change:
    def change(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name].reshape(-1)[-1] = np.nan

    return change


MADE_UP: dict[str, Change] = {
    "another kind": say("kind", "recipe"),
    "no kind": drop("kind"),
    "no format": drop("format"),
    "format in words": say("format", "new"),
    "format of zero": say("format", None),
    **{
        f"no {name}": drop(name) for name in ("classes", "photos", "model", "threshold", "expected")
    },
    **{f"no {name}": drop(name) for name in ("temperature", "unknown_rate", "chosen", "made")},
    "classes a number": say("classes", 3),
    "classes a word": say("classes", "abc"),
    "classes twice": say("classes", ["apple", "apple", "cup"]),
    "classes that are numbers": say("classes", [1, 2, 3]),
    "fewer classes": say("classes", ["apple", "book"]),
    "more classes": say("classes", ["apple", "book", "cup", "door"]),
    "no class": say("classes", []),
    "fewer photos": say("photos", ["one.png"]),
    "photos a word": say("photos", "sixsix"),
    "threshold in words": say("threshold", "high"),
    "threshold of nothing": say("threshold", None),
    "threshold no number": say("threshold", float("nan")),
    "threshold endless": say("threshold", float("inf")),
    "threshold far too large": say("threshold", 10**400),
    "temperature zero": say("temperature", 0.0),
    "temperature no number": say("temperature", float("nan")),
    "temperature below zero": say("temperature", -1.0),
    "rate out of range": say("unknown_rate", 7),
    "expected of another shape": say("expected", {"accuracy": 1.0}),
    "expected to be nothing": say("expected", dict.fromkeys(Expected._fields)),
    "expected a list": say("expected", [1, 2]),
    "expected in words": say(
        "expected",
        dict.fromkeys(("photos", "accuracy", "accepted", "right_of_accepted", "auroc"), "x"),
    ),
    "model a word": say("model", "probe"),
    "another model": of_model("kind", "forest"),
    "unknown method": of_model("method", "forest"),
    "no views": of_model("views", []),
    "views of another form": of_model("views", 7),
    "a view of no size": of_model("views", [[[0, 1.0, 0.5, 0.5]], [], False]),
    "a view of no part": of_model("views", [[[8, 0.0, 0.5, 0.5]], [], False]),
    "a view of a huge size": of_model("views", [[[10**9, 1.0, 0.5, 0.5]], [], False]),
    "a view endlessly large": of_model("views", [[[float("inf"), 1.0, 0.5, 0.5]], [], False]),
    "a view outside": of_model("views", [[[8, 3.0, 0.5, 0.5]], [], False]),
    "inputs of another form": of_model("inputs", {"size": 8}),
    "means of inputs no numbers": of_model("inputs", {"size": [8, 8], "mean": ["a"], "std": [1]}),
    "prior in words": of_model("prior", "many"),
    "prior below zero": of_model("prior", -6.0),
    "labels out of range": array("labels", np.array([0, 0, 0, 1, 2, 9], np.int32)),
    "labels below zero": array("labels", np.array([0, 0, 0, 1, 2, -1], np.int32)),
    "labels of another number": array("labels", np.array([0, 1, 2], np.int32)),
    "labels in a square": array("labels", np.zeros((6, 2), np.int32)),
    "labels without a class": array("labels", np.array([0, 0, 0, 0, 2, 2], np.int32)),
    "labels in disorder": array("labels", np.array([2, 0, 0, 1, 2, 0], np.int32)),
    "fewer codes": array("codes", np.zeros((5, 12), np.uint8)),
    "narrower codes": array("codes", np.zeros((6, 11), np.uint8)),
    "codes of numbers": array("codes", np.full((6, 12), np.nan, np.float32)),
    "codes in a row": array("codes", np.zeros(6, np.uint8)),
    "low without step": without("step"),
    "neither low nor step": without("low", "step"),
    "low in a square": array("low", np.zeros((6, 6), np.float32)),
    "low no number": nan_in("low"),
    "step no number": nan_in("step"),
    "short digests": array("digests", np.zeros((6, 3), np.uint8)),
    "no thumbnails": without("thumbnails"),
    "ends of thumbnails too far": array("thumbnail_ends", np.full(6, 10**9, np.int32)),
    "ends of thumbnails in words": array("thumbnail_ends", np.zeros(6, np.float32)),
    "no weights": without("state/w"),
    "weights no number": nan_in("state/w"),
    "biases no number": nan_in("state/b"),
    "narrower weights": array("state/w", np.zeros((11, 3), np.float16)),
    "weights of fewer classes": array("state/w", np.zeros((12, 2), np.float16)),
    "weights in a row": array("state/w", np.zeros(12, np.float16)),
    "no mean": without("weights/mean"),
    "narrower mean": array("weights/mean", np.zeros(11, np.float32)),
    "mean no number": nan_in("weights/mean"),
    "a scale of another shape": array("state/scale", np.zeros(0, np.float32)),
    "centroids without a centre": array("state/scale", np.ones(1, np.float32)),
    "moved among no photos": say("moved", "recentre by 5 unlabelled photos"),
    "no unlabelled photos": array("alike/codes", np.zeros((0, 12), np.uint8)),
    "narrower unlabelled photos": array("alike/codes", np.zeros((5, 11), np.uint8)),
    "unlabelled photos in a row": array("alike/codes", np.zeros(5, np.uint8)),
}


def test_a_file_of_before_there_were_unlabelled_photos_is_read(path: Path, fitted: Fitted) -> None:
    changed(path, lambda about, arrays: about.pop("moved"))
    found = load_fitted(path)
    assert found.alike is None
    assert_answers_alike(found, fitted)


@pytest.mark.parametrize("name", MADE_UP)
def test_parts_that_do_not_fit_each_other_are_refused(name: str, path: Path) -> None:
    changed(path, MADE_UP[name])
    refusal(path)


def test_a_newer_format_asks_for_an_update(path: Path) -> None:
    changed(path, say("format", FORMAT + 1))
    said = refusal(path)
    assert "was written by a newer version of this project" in said and "update it" in said


def test_json_of_another_kind_is_refused(path: Path) -> None:
    parts = parts_of(path)
    for text in ("[]", "7", "null", '"recogniser"', "{", "[" * 100_000, '{"kind": 1e999}', "\xff"):
        write_parts(path, parts | {ABOUT: text.encode("latin-1")})
        refusal(path)


def test_objects_are_no_arrays_and_nothing_is_executed(path: Path, tmp_path: Path) -> None:
    """A pickle in the place of arrays, and a safetensors file that says its numbers are objects."""

    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "executed"),)

    parts = parts_of(path)
    file = io.BytesIO()
    np.save(file, np.array([Bomb()], object), allow_pickle=True)
    header = json.dumps({"labels": {"dtype": "object", "shape": [1], "data_offsets": [0, 8]}})
    of_objects = len(header).to_bytes(8, "little") + header.encode() + bytes(8)
    for arrays in (pickle.dumps(Bomb()), file.getvalue(), of_objects):
        write_parts(path, parts | {ARRAYS: arrays})
        refusal(path)
    assert not (tmp_path / "executed").exists()


def test_huge_declared_sizes_are_refused_without_room_for_them(path: Path) -> None:
    parts = parts_of(path)
    entry = {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}
    header = json.dumps({"labels": entry}).encode()
    write_parts(path, parts | {ARRAYS: len(header).to_bytes(8, "little") + header})
    refusal(path)
    write_parts(path, parts | {ARRAYS: (2**60).to_bytes(8, "little") + b"{}"})
    refusal(path)
    write_parts(path, parts)
    whole = bytearray(path.read_bytes())
    directory = whole.index(b"PK\1\2")
    whole[directory + 24 : directory + 28] = (2**32 - 2).to_bytes(4, "little")  # once unpacked
    path.write_bytes(whole)
    assert "too large" in refusal(path)


def test_a_body_of_other_shapes_is_refused(fitted: Fitted, path: Path) -> None:
    save_fitted(fitted, path, include_body=True)
    parts = parts_of(path)
    body = load(parts[BODY])
    first = sorted(body)[0]
    below = {f"{first}/deeper": np.zeros(1, np.float32)}
    made = (
        {name: part for name, part in body.items() if name != first},
        body | {first: np.zeros((2, 2), np.float32)},
        body | {first: np.full_like(body[first], np.nan)},
        body | below,
        {},
    )
    for one in made:
        write_parts(path, parts | {BODY: save(one)})
        refusal(path)


def test_a_folder_that_is_not_there_is_made(fitted: Fitted, tmp_path: Path) -> None:
    save_fitted(fitted, tmp_path / "new" / "folder" / "it")
    assert load_fitted(tmp_path / "new" / "folder" / "it").classes == fitted.classes


def test_where_no_file_can_be_written_one_line_says_so(fitted: Fitted, tmp_path: Path) -> None:
    (tmp_path / "a_file").write_bytes(b"")
    (tmp_path / "a_folder").mkdir()
    for place in (tmp_path / "a_file" / "it", tmp_path / "a_folder"):
        with pytest.raises(UserError, match="^cannot write [^\n]*$"):
            save_fitted(fitted, place)


def test_a_write_that_fails_leaves_the_old_file(
    fitted: Fitted, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def full(*words: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(UserError, match="No space left on device"):
        save_fitted(added(fitted, {"door": shots(3, 1)}), path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]
