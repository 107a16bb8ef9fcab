"""The page's steps and what it shows of them, without a browser and without gradio."""

import builtins
import re
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from metalearn.errors import UserError
from metalearn.models.zoo import BODIES
from metalearn.page import session as steps
from metalearn.page.app import import_gradio
from metalearn.page.serving import check_address
from metalearn.page.session import (
    Session,
    asking,
    corrected,
    learned,
    with_photos,
    without_class,
)
from metalearn.page.shown import (
    card_html,
    cards_of,
    notes_html,
    state_html,
    told,
)
from metalearn.personal import heat
from metalearn.personal.opening import load_fitted, save_fitted
from tests.personal.made import NAMES, PIXELS, picture, tiny, tiny_maker
from tests.training.tiny_body import tiny_body

(APPLE, BOOK, CUP, _, EGG) = range(5)


def files(folder: Path, label: int, number: int, first: int = 0) -> list[Path]:
    """Photographs of a class as files."""
    found = []
    for i in range(first, first + number):
        path = folder / f"{NAMES[label]}{i}.png"
        Image.fromarray(picture(label, i)).save(path)
        found.append(path)
    return found


def given(folder: Path, *labels: int, number: int = 3) -> Session:
    """A session with photographs of classes that are not learned."""
    session = Session()
    for label in labels:
        paths = files(folder, label, number)
        session = with_photos(session, NAMES[label], paths, PIXELS).session
    return session


def likeliest(session: Session) -> str:
    """The class of the largest probability."""
    probabilities = told(session).probabilities
    return max(probabilities, key=lambda name: probabilities[name])


def nobody(done: int, number: int) -> None:
    """Hears of progress."""


@pytest.fixture
def taught(tmp_path: Path) -> Session:
    """A session that has learned apples and books."""
    return learned(given(tmp_path, APPLE, BOOK), tiny_maker(), nobody).session


def test_photos_are_added_learned_asked_about_and_corrected(tmp_path: Path) -> None:
    session = given(tmp_path, APPLE, BOOK, number=9)
    assert session.classes == ("apple", "book") and session.fitted is None
    heard: list[tuple[int, int]] = []
    session = learned(session, tiny_maker(), lambda *so_far: heard.append(so_far)).session
    assert heard == [(done, 18) for done in (0, 4, 8, 12, 16, 18)] and not session.waiting
    assert session.fitted is not None and session.fitted.counts.tolist() == [9, 9]
    session = asking(session, files(tmp_path, APPLE, 1, 20)[0]).session
    assert likeliest(session) == "apple"
    session = asking(session, files(tmp_path, EGG, 1)[0]).session
    session = corrected(session, "  egg ", nobody).session
    assert session.fitted is not None and session.fitted.classes == ("apple", "book", "egg")
    assert session.fitted.counts.tolist() == [9, 9, 1]
    assert likeliest(session) == "egg"


def test_photos_of_one_name_that_come_later_are_told_apart(tmp_path: Path) -> None:
    """A camera calls every photo the same."""
    session = given(tmp_path, APPLE, BOOK)
    for number in range(2):
        (shot,) = files(tmp_path, CUP, 1, number)
        shot = shot.rename(shot.with_name("image.png"))
        session = with_photos(session, "cup", [shot], PIXELS).session
        session = learned(session, tiny_maker(), nobody).session
    assert session.fitted is not None
    (cup,) = [i for i, name in enumerate(session.fitted.classes) if name == "cup"]
    pairs = zip(session.fitted.photos.names, session.fitted.photos.labels, strict=True)
    names = [name for name, label in pairs if label == cup]
    assert len(names) == len(set(names)) == 2


def test_a_second_correction_says_that_the_first_is_learned(
    taught: Session, tmp_path: Path
) -> None:
    session = asking(taught, files(tmp_path, CUP, 1)[0]).session
    first = corrected(session, "mug", nobody)
    assert not first.notes
    second = corrected(first.session, "cup", nobody)
    assert any("mug" in note for note in second.notes)


def test_what_is_learned_in_steps_is_what_all_at_once_gives(tmp_path: Path) -> None:
    at_once = learned(given(tmp_path, APPLE, BOOK, CUP), tiny_maker(), nobody).session.fitted
    session = learned(given(tmp_path, BOOK, CUP), tiny_maker(), nobody).session
    session = with_photos(session, "apple", files(tmp_path, APPLE, 3), PIXELS).session
    in_steps = learned(session, tiny_maker(), nobody).session.fitted
    assert at_once is not None and in_steps is not None
    assert in_steps.classes == at_once.classes and in_steps.photos.names == at_once.photos.names
    np.testing.assert_allclose(in_steps.state["w"], at_once.state["w"], atol=1e-3)
    assert in_steps.threshold == pytest.approx(at_once.threshold, abs=1e-3)


def test_steps_change_no_other_session(tmp_path: Path) -> None:
    first = given(tmp_path, APPLE)
    second = with_photos(first, "book", files(tmp_path, BOOK, 3), PIXELS).session
    assert first.classes == ("apple",) and second.classes == ("apple", "book")
    third = without_class(second, "apple").session
    assert third.classes == ("book",) and second.classes == ("apple", "book")
    assert Session().classes == ()


def test_a_recogniser_of_a_file_is_added_to_and_saved_again(tmp_path: Path) -> None:
    session = Session(fitted=tiny(3, 3))
    session = with_photos(session, "cup", files(tmp_path, CUP, 3), PIXELS).session
    fitted = learned(session, tiny_maker(), nobody).session.fitted
    assert fitted is not None
    save_fitted(fitted, tmp_path / "mine.recogniser")
    assert load_fitted(tmp_path / "mine.recogniser").classes == ("apple", "book", "cup")


def test_photos_that_cannot_be_read_are_named_and_the_others_taken(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("no image")
    paths = [broken, *files(tmp_path, APPLE, 2)]
    step = with_photos(Session(), "apple", paths, PIXELS)
    assert len(step.session.waiting["apple"]) == 2
    (note, *_) = step.notes
    assert "broken.jpg" in note and str(tmp_path) not in note and "\n" not in note
    with pytest.raises(UserError, match=r"broken\.jpg"):
        with_photos(Session(), "apple", [broken], PIXELS)


def test_photos_given_twice_are_noted(tmp_path: Path, taught: Session) -> None:
    apples = files(tmp_path, APPLE, 2)
    step = with_photos(given(tmp_path, APPLE), "apple", apples, PIXELS)
    assert len(step.session.waiting["apple"]) == 3
    assert any("2 of these photos are in apple already" in note for note in step.notes)
    step = with_photos(given(tmp_path, APPLE), "book", apples, PIXELS)
    assert any("2 classes: apple0.png" in note and ":" in note for note in step.notes)
    step = with_photos(taught, "cup", apples, PIXELS)
    assert any("apple0.png (cup) is learned as apple" in note for note in step.notes)


def test_photos_of_one_name_are_told_apart(tmp_path: Path) -> None:
    (path,) = files(tmp_path, APPLE, 1)
    session = with_photos(Session(), "apple", [path], PIXELS).session
    Image.fromarray(picture(APPLE, 7)).save(path)
    session = with_photos(session, "apple", [path], PIXELS).session
    assert [one.name for one in session.waiting["apple"]] == ["apple0.png", "apple0.png (2)"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda s, f: with_photos(s, "  ", f, PIXELS), "Type a name"),
        (lambda s, f: with_photos(s, "n" * 61, f, PIXELS), "at most 60"),
        (lambda s, f: with_photos(s, "cup", [], PIXELS), "no photos of cup"),
        (lambda s, f: with_photos(s, "cup", f * 201, PIXELS), "at most 200"),
        (lambda s, f: learned(Session(), tiny_maker(), nobody), "nothing new"),
        (lambda s, f: learned(s, tiny_maker(), nobody), "nothing new"),
        (lambda s, f: without_class(s, "book"), "one of only two"),
        (lambda s, f: asking(Session(), f[0]), "nothing is learned"),
        (lambda s, f: asking(s, f[0].parent / "none.png"), "cannot be read"),
        (lambda s, f: corrected(s, "cup", nobody), "ask about a photo first"),
        (lambda s, f: corrected(asking(s, f[0]).session, "apple", nobody), "already"),
        (lambda s, f: corrected(asking(s, f[0]).session, "", nobody), "Type a name"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    taught: Session, tmp_path: Path, wrong: Any, said: str
) -> None:
    with pytest.raises(UserError, match=said) as raised:
        wrong(taught, files(tmp_path, APPLE, 1))
    assert "\n" not in str(raised.value)


def test_one_class_alone_is_not_learned(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="only apple"):
        learned(given(tmp_path, APPLE), tiny_maker(), nobody)


def test_the_most_photos_that_wait_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "MOST_WAITING", 4)
    monkeypatch.setattr(steps, "MOST_CLASSES", 1)
    session = given(tmp_path, APPLE)
    with pytest.raises(UserError, match="more than 4"):
        with_photos(session, "apple", files(tmp_path, APPLE, 2, 5), PIXELS)
    with pytest.raises(UserError, match="1 classes"):
        with_photos(session, "book", files(tmp_path, BOOK, 1), PIXELS)


def test_cards_show_what_is_learned_and_what_waits(tmp_path: Path, taught: Session) -> None:
    session = with_photos(taught, "apple", files(tmp_path, APPLE, 8, 5), PIXELS).session
    (apple, book) = cards_of(session)
    assert (apple.name, apple.learned, apple.waiting) == ("apple", 3, 8)
    assert (book.learned, book.waiting, len(book.thumbnails)) == (3, 0, 3)
    html = card_html(apple)
    assert "3 photos learned" in html and "8 photos new" in html and "+5" in html
    assert html.count("data:image/webp") == 6
    assert "8 photos" in state_html(session) and "two things" in state_html(Session())
    assert "a second thing" in state_html(given(tmp_path, CUP))


def test_an_answer_names_the_nearest_and_shows_what_spoke_for_it(
    tmp_path: Path, taught: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asking(taught, files(tmp_path, APPLE, 1, 9)[0]).session
    found = told(asked)
    assert found.heat is None  # of a body that is not of the zoo
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert found.nearest.count("<figure>") == 3 and "apple" in found.nearest
    monkeypatch.setitem(BODIES, "tiny", BODIES["resnet18"])
    monkeypatch.setattr(heat, "make_body", lambda _: tiny_body())
    picture = told(asked).heat
    assert picture is not None and picture.size == (480, 480)


def test_a_photo_of_nothing_known_is_unknown(tmp_path: Path, taught: Session) -> None:
    assert taught.fitted is not None
    strict = replace(taught, fitted=replace(taught.fitted, threshold=9.0))
    asked = asking(strict, files(tmp_path, APPLE, 1, 9)[0]).session
    assert "unknown" in told(asked).headline and "nearest is apple" in told(asked).headline


def test_names_are_shown_as_text(tmp_path: Path, taught: Session) -> None:
    bad = "<img src=x onerror=alert(1)>"
    session = with_photos(taught, bad, files(tmp_path, CUP, 2), PIXELS).session
    session = learned(session, tiny_maker(), nobody).session
    session = asking(session, files(tmp_path, CUP, 1, 9)[0]).session
    found = told(session)
    shown = [*map(card_html, cards_of(session)), notes_html([bad]), found.headline, found.nearest]
    shown += [found.reason, state_html(session)]
    assert any("&lt;img src=x" in html for html in shown)
    assert not any(re.search(r"<img src=x", html) for html in shown)


def test_a_missing_gradio_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usual = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name == "gradio":
            raise ModuleNotFoundError("No module named 'gradio'")
        return usual(name, *more)

    for name in ("GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY", "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="pip install -r requirements-app.txt") as raised:
        import_gradio(tmp_path)
    assert "\n" not in str(raised.value)


def test_addresses_that_cannot_be_listened_at_are_one_line() -> None:
    check_address("127.0.0.1", None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"127.0.0.1, port {port} ") as raised:
            check_address("127.0.0.1", port)
        assert "\n" not in str(raised.value)
    for host, number in (("203.0.113.5", None), ("127.0.0.1", 70_000), ("no.such.invalid", 1)):
        with pytest.raises(UserError, match=host):
            check_address(host, number)
