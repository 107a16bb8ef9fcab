"""Which photographs are asked about, and how answers find their way."""

import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from metalearn.active.registry import STRATEGIES
from metalearn.errors import UserError
from metalearn.labelling import choosing
from metalearn.labelling.answers import read_sorted
from metalearn.labelling.choosing import free_of, missing, renamed
from metalearn.labelling.given import Given
from metalearn.labelling.head import committee, fit_head, labelled_of, outlook, probabilities
from metalearn.labelling.pool import Looked
from metalearn.labelling.progress import progress_of
from metalearn.labelling.state import State
from metalearn.labelling.work import Place, labelled_photos
from tests.labelling.made import answers, asked, looked_at, pile, taken, truth
from tests.personal.made import PIXELS, picture, tiny_embedder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Eighteen photographs of three classes; no test may change them."""
    return pile(tmp_path_factory.mktemp("pile") / "photos")


@pytest.fixture(scope="module")
def looked(place: Place) -> Looked:
    found = looked_at(place)
    assert len(set(found.alike)) == 18, "they are different photographs"
    return found


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_asks_about_all_photos_once(
    strategy: str, place: Place, looked: Looked
) -> None:
    """From no label at all to the last photograph."""
    state = State()
    seen: list[str] = []
    while len(seen) < 18:
        before = set(state.photos)
        state = asked(state, looked, 9, strategy)
        new = [digest for digest in state.photos if digest not in before]
        assert new and not set(new) & set(seen)
        seen += new
        state = taken(state, answers(state), place).state
    assert state.counts == {"apple": 6, "book": 6, "cup": 6}
    with pytest.raises(UserError, match="no photo is left to ask about"):
        asked(state, looked, None, strategy)


def test_open_questions_are_asked_again_and_count(looked: Looked) -> None:
    first = asked(State(), looked, 4)
    assert asked(first, looked, 4) is first and asked(first, looked, 2) is first
    more = asked(first, looked, 6)
    assert list(more.photos)[:4] == list(first.photos) and len(more.open) == 6
    assert [each.round for each in more.photos.values()] == [1] * 4 + [2] * 2


def test_a_number_larger_than_the_pool_is_refused(looked: Looked) -> None:
    with pytest.raises(UserError, match="--n=19: only 18 photos are left: give at most that many"):
        asked(State(), looked, 19)
    first = asked(State(), looked, 4)
    with pytest.raises(UserError, match="only 18 photos are left, 4 of them asked about already"):
        asked(first, looked, 20)
    assert len(asked(first, looked, None).open) == 18


def test_a_head_guesses_from_the_second_class_on(place: Place, looked: Looked) -> None:
    state = asked(State(), looked, 6)
    assert {each.guess for each in state.photos.values()} == {None}
    one = [given._replace(label="thing") for given in answers(state)]
    after_one = asked(taken(state, one, place).state, looked, 6)
    assert {each.guess for each in after_one.open.values()} == {None}
    guesses = asked(taken(state, answers(state), place).state, looked, 12).open.values()
    right = [each.guess == truth(each.name) for each in guesses]
    assert len(right) == 12 and np.mean(right) > 0.7


def test_copies_of_what_was_asked_about_are_left_out(tmp_path: Path) -> None:
    """Equal files count once; one that was saved again hardly differs."""
    place = pile(tmp_path, 2, 2)
    shutil.copy(tmp_path / "apple0.png", tmp_path / "copy.png")
    brighter = np.clip(picture(0, 0).astype(int) + 1, 0, 255).astype(np.uint8)
    Image.fromarray(brighter).save(tmp_path / "nearly.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    looked = looked_at(place)
    assert looked.equal == 1 and len(looked.names) == 5
    assert [one.path.name for one in looked.refused] == ["broken.jpg"]
    state = asked(State(), looked, None)
    assert len(state.open) == 4 and not free_of(state, looked).any()
    assert {each.name for each in state.photos.values()} >= {"apple0.png"}


def test_photos_may_come_go_and_be_renamed_between_rounds(tmp_path: Path) -> None:
    place = pile(tmp_path, 2, 3)
    state = asked(State(), looked_at(place), 4)
    state = taken(state, answers(state), place).state
    (first, second, *_) = (each.name for each in state.photos.values())
    (tmp_path / first).unlink()
    (tmp_path / "below").mkdir()
    (tmp_path / second).rename(tmp_path / "below" / "moved.png")
    pile(tmp_path, 2, 1, first=7)
    looked = looked_at(place)
    state = renamed(state, dict(zip(looked.digests, looked.names, strict=True)))
    assert missing(state, looked) == [first]
    assert "below/moved.png" in {each.name for each in state.photos.values()}
    shots = labelled_photos(place, state, PIXELS)
    assert sum(map(len, shots.values())) == 3
    assert len(asked(state, looked, 4).open) == 4 and len(state.labelled) == 4
    progress = progress_of(place, state, tiny_embedder(), 20)
    assert progress.missing == (first,) and progress.unasked == 4


def test_moved_photos_are_found_before_they_are_asked_about_again(tmp_path: Path) -> None:
    place = pile(tmp_path, 2, 2)
    state = asked(State(), looked_at(place), 2)
    state = taken(state, answers(state), place).state
    for each in list(state.photos.values()):
        (tmp_path / each.name).rename(tmp_path / f"x-{each.name}")
    assert sum(map(len, labelled_photos(place, state, PIXELS).values())) == 2


def test_answers_find_their_photos(tmp_path: Path) -> None:
    """By digest, by name, by the file's name alone; asked about or not."""
    place = pile(tmp_path, 1, 2)
    pile(tmp_path / "b", 1, 1, first=5)
    pile(tmp_path / "c", 1, 1, first=6)
    state = asked(State(), looked_at(place), 1)
    (digest, one) = next(iter(state.photos.items()))
    pile(tmp_path / "d", 1, 1, first=7)  # which is not the one, whatever that is
    copied = tmp_path / "d" / "apple7.png"

    def labelled(photo: str, digest: str | None = None) -> list[str]:
        found = taken(state, [Given("row 2", photo, "cup", digest)], place).state
        return [found.photos[each].name for each in found.labelled]

    assert labelled("elsewhere.png", digest) == [one.name]
    assert labelled(f"./{one.name}") == labelled(f"/upload/{one.name}") == [one.name]
    assert labelled("b\\apple5.png") == labelled("apple5.png") == ["b/apple5.png"]
    shutil.copy(copied, tmp_path / "c" / "cafe\u0301.png")
    assert labelled("c/café.png") == labelled("c/cafe\u0301.png") != []
    shutil.copy(copied, tmp_path / "c" / "back\\slash.png")
    assert labelled("c/back\\slash.png") == ["c/back\\slash.png"]
    shutil.copy(copied, tmp_path / " first.png")
    assert labelled(" first.png") == [" first.png"]
    shutil.copy(tmp_path / "c" / "apple6.png", tmp_path / "b" / "apple6.png")
    with pytest.raises(UserError, match="2 photos are named apple6.png"):
        labelled("apple6.png")
    with pytest.raises(UserError, match="row 2: there is no photo absent.png"):
        labelled("absent.png")
    (tmp_path / "broken.jpg").write_text("no image")
    with pytest.raises(UserError, match="row 2: broken.jpg cannot be read"):
        labelled("broken.jpg")


def test_answers_do_not_go_to_another_photo_of_the_same_name(tmp_path: Path) -> None:
    """As cameras name them: of folders that differ, the longest common end tells."""
    place = pile(tmp_path / "all", 1, 1)
    pile(tmp_path / "all" / "100CANON", 1, 1, first=5)
    pile(tmp_path / "all" / "101CANON", 2, 1, first=6)
    (tmp_path / "all" / "101CANON" / "apple6.png").rename(
        tmp_path / "all" / "101CANON" / "apple5.png"
    )
    first = Given("row 2", "100CANON/apple5.png", "cup")
    state = taken(State(), [first], place).state
    for photo in ("/home/me/all/101CANON/apple5.png", "all/101CANON/apple5.png"):
        found = taken(state, [Given("row 3", photo, "door")], place)
        assert found.new == 1 and not found.corrected
        assert {each.name: each.label for each in found.state.photos.values()} == {
            "100CANON/apple5.png": "cup",
            "101CANON/apple5.png": "door",
        }


def test_sorted_copies_are_known_by_what_is_in_them(tmp_path: Path) -> None:
    place = pile(tmp_path / "all", 1, 2)
    copy = tmp_path / "sorted" / "cup"
    copy.mkdir(parents=True)
    shutil.copy(place.photos / "apple1.png", copy / "IMG_0001 (1).png")
    found = taken(State(), read_sorted(tmp_path / "sorted", place.state), place).state
    assert [each.name for each in found.photos.values()] == ["apple1.png"]


def test_photos_that_cannot_be_read_are_named_where_none_is_left(tmp_path: Path) -> None:
    place = pile(tmp_path, 1, 1)
    state = asked(State(), looked_at(place), 1)
    state = taken(state, answers(state), place).state
    (tmp_path / "broken.jpg").write_text("no image")
    with pytest.raises(UserError, match="no photo is left to ask about.*broken.jpg"):
        asked(state, looked_at(place), 1)


def test_what_is_asked_about_or_skipped_does_not_make_a_head_sure(tmp_path: Path) -> None:
    """`auto` takes photographs that stand for the pile until 16 a class or 30 % are labelled."""
    place = pile(tmp_path, 2, 20)
    looked = looked_at(place)
    state = asked(State(), looked, 24)
    some = [
        given._replace(label=given.label if i < 6 else "skip")
        for i, given in enumerate(answers(state))
    ]
    state = taken(state, some, place).state
    serving = asked(state, looked, 5, strategy="facility_location").open
    assert asked(state, looked, 5).open.keys() == serving.keys()


def test_auto_begins_as_it_does_in_simulations(
    looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `first_images`, and never again once something was asked about."""
    monkeypatch.setattr(
        choosing, "first_images", lambda key, pool, k: len(pool.z) - 1 - jnp.arange(k)
    )
    first = asked(State(), looked, 2)
    assert list(first.photos) == [looked.digests[17], looked.digests[16]]
    second = asked(first, looked, 3)
    assert looked.digests[15] != list(second.photos)[2]


def test_labels_are_corrected_and_photos_skipped(place: Place, looked: Looked) -> None:
    state = asked(State(), looked, 4)
    given = answers(state)
    first = taken(state, given, place)
    assert first.new == 4 and not first.corrected
    other = given[0]._replace(label="door")
    (skipped, same) = (given[1]._replace(label="skip"), given[2])
    second = taken(first.state, [other, skipped, same], place)
    assert second.new == 0 and second.classes == ("door",)
    assert second.corrected == (
        f"{given[0].photo}: {given[0].label} -> door",
        f"{given[1].photo}: {given[1].label} -> skip",
    )
    assert second.state.skipped == 1 and len(second.state.labelled) == 3
    back = taken(second.state, given, place).state
    assert back == first.state


def test_an_unknown_class_is_refused_once_there_are_classes(place: Place, looked: Looked) -> None:
    state = asked(State(), looked, 4)
    given = answers(state)
    first = taken(state, given[:3], place, new_classes=False).state
    typo = given[3]._replace(label="aple")
    message = f"{given[3].where}: 'aple' is none of the classes so far .*--new_classes"
    with pytest.raises(UserError, match=message):
        taken(first, [typo], place, new_classes=False)
    taken(first, [given[3]._replace(label="skip")], place, new_classes=False)
    assert taken(first, [typo], place).classes == ("aple",)


def test_two_answers_for_a_photo_have_to_agree(place: Place, looked: Looked) -> None:
    (given,) = answers(asked(State(), looked, 1))
    again = given._replace(where="row 9")
    assert taken(State(), [given, again], place).new == 1
    with pytest.raises(UserError, match="row 9: .* is 'x', but '.*' in row 2: leave one"):
        taken(State(), [given, again._replace(label="x")], place)


def test_what_more_labels_bring_is_told_from_four_a_class_on(looked: Looked) -> None:
    labels = dict(zip(looked.digests, map(truth, looked.names), strict=True))
    some = labelled_of(looked.z, looked.place, labels, 0.0)
    found = outlook(some, 20)
    assert found is not None and found.later is not None
    assert 0.5 < found.accuracy <= found.later <= 1
    assert outlook(some, 2000).later >= found.later  # type: ignore[union-attr,operator]
    few = dict(list(labels.items())[4:9])  # two apples, three books
    told = outlook(labelled_of(looked.z, looked.place, few, 0.0), 20)
    assert told is not None and told.later is None
    alone = {digest: labels[digest] for digest in (looked.digests[0], looked.digests[-1])}
    assert outlook(labelled_of(looked.z, looked.place, alone, 0.0), 20) is None
    assert outlook(labelled_of(looked.z, looked.place, {}, 0.0), 20) is None
    one = dict(list(labels.items())[5:7])  # of all but one class there is one photograph
    one |= {looked.digests[-1]: labels[looked.digests[-1]]}
    assert outlook(labelled_of(looked.z, looked.place, one, 0.0), 20) is None


def test_a_committee_has_heads_that_differ(looked: Looked) -> None:
    labels = dict(zip(looked.digests, map(truth, looked.names), strict=True))
    some = labelled_of(looked.z, looked.place, labels, 0.0)
    p = committee(0, some, looked.z)
    assert p.shape == (5, 18, 3) and np.ptp(p, axis=0).max() > 0.01
    np.testing.assert_allclose(p.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(probabilities(fit_head(some), looked.z).sum(-1), 1, atol=1e-5)


def test_rounds_tell_what_was_guessed_and_what_is_expected(place: Place, looked: Looked) -> None:
    state = asked(State(), looked, 9)
    state = taken(state, answers(state), place).state
    state = asked(state, looked, 6)
    state = taken(state, answers(state)[:4], place).state
    own = Given("row 2", next(name for name in looked.names if name not in str(state)), "cup")
    state = taken(state, [own], place).state
    progress = progress_of(place, state, tiny_embedder(), 20)
    (zero, one, two) = progress.rows
    assert (zero.number, zero.labelled, zero.labels) == (0, 1, 1)
    assert (one.asked, one.labelled, one.guessed, one.labels) == (9, 9, 0, 10)
    assert (two.asked, two.labelled, two.guessed, two.labels) == (6, 4, 4, 14)
    assert 0 <= two.right <= 4 and two.accuracy == progress.outlook.accuracy  # type: ignore[union-attr]
    assert progress.unasked == 2
