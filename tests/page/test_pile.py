"""A pile of photographs at the page: questions, answers and undo, without gradio."""

from pathlib import Path

import pytest

from metalearn.errors import UserError
from metalearn.labelling.head import Outlook
from metalearn.page import pile as piles
from metalearn.page.pile import Pile, answered, chosen, skipped, synced, undone, with_pile
from metalearn.page.pile_shown import photo_html, said_html
from metalearn.page.session import Session, learned, with_photos, without_class
from metalearn.personal.model import Model
from tests.labelling.made import pile as photos_in
from tests.labelling.made import truth
from tests.page.test_page import nobody
from tests.personal.made import PIXELS, pixel_maker, tiny, tiny_maker


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_maker()(tiny(1, 1).counts).model


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twelve photographs of three classes."""
    place = photos_in(tmp_path_factory.mktemp("pile"), 3, 4)
    return sorted(place.photos.glob("*.png"))


@pytest.fixture
def begun(paths: list[Path], model: Model) -> Pile:
    (pile, notes) = with_pile(Pile(), Session(), paths, model)
    assert not notes and pile.left == 12
    return pile


def answer(pile: Pile, session: Session, model: Model) -> tuple[Pile, Session]:
    """The right answer."""
    assert pile.asked is not None
    return answered(pile, session, truth(pile.asked.name), model)


def test_all_photos_are_asked_about_once_and_fill_classes(begun: Pile, model: Model) -> None:
    (pile, session) = (begun, Session())
    seen = []
    while pile.asked is not None:
        seen.append(pile.asked.name)
        (pile, session) = answer(pile, session, model)
    assert len(seen) == len(set(seen)) == 12 and pile.left == 0
    assert {name: len(some) for name, some in session.waiting.items()} == {
        "apple": 4,
        "book": 4,
        "cup": 4,
    }
    assert [labels for labels, _ in pile.course] == list(range(1, 13))
    (_, last) = pile.course[-1]
    assert last is not None and last.accuracy > 0.5 and last.later is not None
    assert "<b>12</b> labelled, 0 left" in said_html(pile) and "press Learn" in said_html(pile)
    assert photo_html(pile) == "" and "<polyline" in said_html(pile)
    after = learned(session, tiny_maker(), nobody).session
    assert after.fitted is not None and after.fitted.counts.tolist() == [4, 4, 4]
    assert synced(pile, after, model).state.counts == pile.state.counts


def test_undo_takes_answers_back_one_by_one(begun: Pile, model: Model) -> None:
    (first, session) = answer(begun, Session(), model)
    (second, both) = answer(first, session, model)
    third = skipped(second, model)
    assert third.asked is not None and third.state.skipped == 1
    (back, same) = undone(third, both, model)
    assert back.asked is not None and second.asked is not None
    assert back.asked.digest == second.asked.digest and same.waiting == both.waiting
    (back, one) = undone(back, both, model)
    assert back.asked is not None and first.asked is not None
    assert back.asked.digest == first.asked.digest
    assert sum(map(len, one.waiting.values())) == 1 and len(back.course) == 1
    (back, none) = undone(back, one, model)
    assert none.classes == () and back.keys == () and not none.thumbnails
    with pytest.raises(UserError, match="nothing to undo"):
        undone(back, none, model)


def test_what_is_learned_cannot_be_undone_but_is_asked_again_without_its_class(
    begun: Pile, model: Model
) -> None:
    (pile, session) = (begun, Session())
    while len(session.classes) < 3:
        (pile, session) = answer(pile, session, model)
    session = learned(session, tiny_maker(), nobody).session
    with pytest.raises(UserError, match="is learned already"):
        undone(pile, session, model)
    before = pile.left
    session = without_class(session, "cup").session
    pile = synced(pile, session, model)
    assert pile.left > before and "cup" not in pile.keys


def test_keys_of_classes_stay_as_they_came(begun: Pile, model: Model) -> None:
    (pile, session) = answered(begun, Session(), "zebra", model)
    (pile, session) = answered(pile, session, " an  apple ", model)
    assert pile.keys == ("zebra", "an apple") and session.classes == ("an apple", "zebra")
    with pytest.raises(UserError, match="Type a name first"):
        answered(pile, session, " ", model)


def test_photos_of_the_session_count_and_are_not_asked_about(
    paths: list[Path], begun: Pile, model: Model
) -> None:
    session = with_photos(Session(), "apple", paths[:4], PIXELS).session
    pile = chosen(synced(begun, session, model), model)
    assert pile.left == 8 and pile.state.counts == {"apple": 4} and pile.keys == ("apple",)
    opened = Session(fitted=tiny(3, 3))
    pile = synced(begun, opened, model)
    assert sum(pile.state.counts.values()) == 6 and len(pile.seen.digests) == 18


def test_photos_of_a_class_that_is_removed_are_not_asked_about(
    paths: list[Path], model: Model, tmp_path: Path
) -> None:
    """They were given to it, and are not in the pile."""
    own = sorted(photos_in(tmp_path, 1, 3, first=20).photos.glob("*.png"))
    session = with_photos(Session(), "apple", own, PIXELS).session
    (pile, _) = with_pile(Pile(), session, paths[:5], model)
    (pile, session) = answer(pile, session, model)
    session = without_class(session, "apple").session
    pile = synced(pile, session, model)
    assert set(pile.seen.digests) == set(pile.shots)
    names = set()
    while pile.asked is not None:
        names.add(pile.asked.name)
        pile = skipped(pile, model)
    assert names <= {path.name for path in paths[:5]} and len(names) >= 4


def test_piles_that_cannot_be_taken_are_refused(
    tmp_path: Path, paths: list[Path], begun: Pile, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_text("no image")
    with pytest.raises(UserError, match=r"broken\.jpg"):
        with_pile(Pile(), Session(), [broken], model)
    (pile, notes) = with_pile(begun, Session(), [broken, *paths[:2]], model)
    assert pile.left == 12 and len(notes) == 2 and "2 of these photos" in notes[1]
    with pytest.raises(UserError, match="no photos yet"):
        with_pile(Pile(), Session(), [], model)
    with pytest.raises(UserError, match="no photo is asked about"):
        skipped(Pile(), model)
    pixels = pixel_maker()(tiny(1, 1).counts).model
    with pytest.raises(UserError, match="has no features"):
        with_pile(Pile(), Session(), paths, pixels)
    monkeypatch.setattr(piles, "MOST", 13)
    with pytest.raises(UserError, match="a pile of more than 13 photos"):
        with_pile(begun, Session(), paths, model)


def test_names_of_files_are_shown_as_they_are(begun: Pile) -> None:
    assert begun.asked is not None
    digest = begun.asked.digest
    shot = begun.asked._replace(name="<b>x</b>.jpg")
    shown = photo_html(Pile(shots={**begun.shots, digest: shot}, state=begun.state))
    assert "&lt;b&gt;x" in shown and "data:image/jpeg;base64," in shown


def test_what_labels_bring_is_said_in_words(begun: Pile) -> None:
    course = tuple((labels, Outlook(labels / 40, None)) for labels in range(1, 20))
    pile = Pile(begun.shots, begun.seen, begun.state, course=(*course, (20, Outlook(0.5, 0.6))))
    said = said_html(pile)
    assert "<b>50%</b> are right" in said and "(25% with 10 labels less)" in said
    assert "about 1.0 points: 10 more, 60%" in said
