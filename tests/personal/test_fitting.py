"""Fitting recognisers, asking them, adding photographs and taking classes away."""

import numpy as np
import pytest

from metalearn.errors import UserError
from metalearn.personal.answers import NEAREST, answer
from metalearn.personal.changing import added, removed
from metalearn.personal.evaluating import judged, on_its_own
from metalearn.personal.fitted import Fitted
from metalearn.personal.fitting import THUMBNAILS, fit
from metalearn.personal.heads import HEADS
from metalearn.personal.model import Maker
from metalearn.personal.unknown import MANY, NEVER, RATE, threshold_of
from tests.personal.made import NAMES, pixel_maker, shots, things, tiny, tiny_maker

METHODS = ("auto", "centroid")  # auto is ridge here; logistic takes long, see test_heads


def assert_same(one: Fitted, other: Fitted) -> None:
    """All of a recogniser but when it was made, bit for bit."""
    assert one.classes == other.classes
    assert one.state.keys() == other.state.keys()
    for name, part in one.state.items():
        np.testing.assert_array_equal(part, other.state[name], strict=True)
    for part, same in zip(one.familiar, other.familiar, strict=True):
        np.testing.assert_array_equal(part, same, strict=True)
    for part, same in zip(one.photos.kept, other.photos.kept, strict=True):
        np.testing.assert_array_equal(part, same)
    np.testing.assert_array_equal(one.photos.labels, other.photos.labels)
    assert one.photos._replace(labels=0, kept=0) == other.photos._replace(labels=0, kept=0)
    told = ("temperature", "threshold", "unknown_rate", "expected", "chosen")
    assert [getattr(one, name) for name in told] == [getattr(other, name) for name in told]


@pytest.mark.parametrize("method", METHODS)
def test_added_classes_give_what_all_photos_together_would_have(method: str) -> None:
    """Whichever class comes last, sorted before, between or behind the others."""
    whole = things(3, 2, 4)
    expected = fit(tiny_maker(method), whole)
    for late in whole:
        first = fit(tiny_maker(method), {n: some for n, some in whole.items() if n != late})
        assert_same(added(first, {late: whole[late]}), expected)


def test_added_photos_of_several_classes_give_what_all_together_would_have() -> None:
    """A single one, some of a class that is there, and classes in any order."""
    expected = tiny(3, 2, 4)
    first = tiny(2, 2)
    more = {"cup": shots(2, 4), "apple": shots(0, 1, first=2)}
    assert_same(added(first, more), expected)
    one = added(first, {"cup": shots(2, 4)})
    assert_same(added(one, {"apple": shots(0, 1, first=2)}), expected)


def test_the_model_is_chosen_again_when_photos_are_added() -> None:
    before = tiny(1, 1)
    after = added(before, {"apple": shots(0, 4), "book": shots(1, 4)})
    assert before.chosen.startswith("centroid") and after.chosen.startswith("ridge")
    assert_same(after, tiny(4, 4))


def test_adding_photos_that_are_there_changes_nothing() -> None:
    fitted = tiny(2, 3)
    assert added(fitted, {"apple": shots(0, 2)}) is fitted
    assert added(fitted, {"apple": []}) is fitted
    again = added(fitted, {"book": [*shots(1, 4), *shots(1, 4)]})
    assert_same(again, tiny(2, 4))


def test_a_photo_may_be_added_to_another_class() -> None:
    """It is no duplicate there: whoever adds it may mean to correct a class."""
    moved = added(tiny(2, 2), {"book": shots(0, 1)})
    assert moved.counts.tolist() == [2, 3]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NAMES[:3])
def test_without_a_class_is_as_if_it_had_never_been_there(method: str, name: str) -> None:
    whole = things(3, 2, 4)
    found = removed(fit(tiny_maker(method), whole), name)
    rest = {other: some for other, some in whole.items() if other != name}
    assert_same(found, fit(tiny_maker(method), rest))


def test_thumbnails_are_kept_of_the_first_few_of_each_class() -> None:
    found = added(tiny(1, 2), {"apple": shots(0, 5, first=1)})
    kept = [bool(thumbnail) for thumbnail in found.photos.thumbnails]
    assert kept == [True] * THUMBNAILS + [False] * 3 + [True] * 2


def test_removing_needs_a_class_that_is_there_and_two_others() -> None:
    with pytest.raises(UserError, match="no class 'cup': it has apple, book"):
        removed(tiny(1, 1), "cup")
    with pytest.raises(UserError, match="1 class with photos: give those of two"):
        removed(tiny(1, 1), "book")


def test_fewer_than_two_classes_or_one_without_photos_are_refused() -> None:
    with pytest.raises(UserError, match="1 class with photos: give those of two"):
        tiny(3)
    with pytest.raises(UserError, match="0 classes with photos"):
        tiny()
    with pytest.raises(UserError, match="class 'cup' has no photos"):
        tiny(2, 2, 0)


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.01, float("nan")])
def test_a_rate_out_of_range_is_refused(rate: float) -> None:
    with pytest.raises(UserError, match="unknown rate of .*: give more than 0 and at most 1"):
        tiny(2, 2, rate=rate)


def test_with_a_rate_of_one_nothing_is_unknown() -> None:
    fitted = fit(pixel_maker(), things(2, 2, 2), 1.0)
    assert fitted.threshold == NEVER
    assert all(one.known for one in answer(fitted, shots(4, 3) + shots(5, 3)))


@pytest.mark.parametrize("method", METHODS)
def test_answers_are_probabilities_of_the_classes(method: str) -> None:
    fitted = tiny(3, 2, 3, method=method)
    asked = shots(0, 2, first=9) + shots(4, 1) + shots(2, 2)
    found = answer(fitted, asked)
    assert [one.name for one in found] == [shot.name for shot in asked]
    for one in found:
        assert one.probabilities.sum() == pytest.approx(1, abs=1e-12)
        likeliest = int(one.probabilities.argmax())
        assert one.label == fitted.classes[likeliest]
        assert one.probability == one.probabilities[likeliest]
        assert one.known == (one.familiarity >= fitted.threshold)
        assert len(one.nearest) == NEAREST
        cosines = [near.cosine for near in one.nearest]
        assert cosines == sorted(cosines, reverse=True)
    alone = [answer(fitted, [shot])[0] for shot in asked]
    for one, again in zip(found, alone, strict=True):
        np.testing.assert_allclose(again.probabilities, one.probabilities, atol=1e-4)
    assert answer(fitted, []) == []


def test_the_photo_nearest_to_a_fitted_one_is_itself() -> None:
    fitted = fit(pixel_maker(), things(3, 2, 2))
    for one in answer(fitted, shots(0, 3) + shots(2, 2)):
        near = one.nearest[0]
        assert near.name == one.name and near.cosine == pytest.approx(1, abs=1e-6)
        assert near.label == one.label and near.thumbnail


def test_one_photo_of_each_of_two_classes_is_enough() -> None:
    fitted = tiny(1, 1)
    assert fitted.expected is None and fitted.chosen.startswith("centroid")
    found = answer(fitted, shots(0, 3) + shots(1, 3))
    assert [one.label for one in found] == ["apple"] * 3 + ["book"] * 3
    assert all(len(one.nearest) == 2 and np.isfinite(one.familiarity) for one in found)
    with pytest.raises(UserError, match="alone in its class"):
        on_its_own(fitted)


@pytest.mark.parametrize("method", METHODS)
def test_a_class_of_one_photo_is_told_from_others(method: str) -> None:
    fitted = tiny(4, 1, 4, method=method)
    assert fitted.expected is not None and fitted.expected.photos == 8
    assert answer(fitted, shots(1, 1))[0].label == "book"


@pytest.mark.parametrize("method", METHODS)
def test_one_photo_in_two_classes_is_refused_in_one_line_or_torn_between_them(method: str) -> None:
    same = shots(0, 1)
    with pytest.raises(UserError, match="^all photos look the same[^\n]*$"):
        fit(tiny_maker(method), {"one": same, "other": same})
    fitted = fit(tiny_maker(method), {"one": same, "other": same, "third": shots(1, 2)})
    (found,) = answer(fitted, same)
    by_class = dict(zip(fitted.classes, found.probabilities, strict=True))
    assert by_class["one"] == pytest.approx(by_class["other"], abs=0.02)
    assert by_class["one"] > by_class["third"]


@pytest.mark.parametrize("method", HEADS)
def test_photos_that_hardly_differ_give_numbers(method: str) -> None:
    """Weights are kept in 16 bits, of which the largest number is 65,504."""
    (shot,) = shots(0, 1)
    close = []
    for i in range(4):
        pixels = shot.pixels.copy()
        pixels[0, 0, 0] = 128 + i
        close.append(shot._replace(pixels=pixels, digest=f"{i:064x}"))
    fitted = fit(tiny_maker(method), {"one": close[:2], "other": close[2:]})
    assert all(np.isfinite(part).all() for part in fitted.state.values())
    for one in answer(fitted, shots(1, 2)):
        assert np.isfinite(one.probabilities).all() and np.isfinite(one.familiarity)


def test_the_threshold_is_reached_by_the_chosen_share_of_classes_left_out() -> None:
    rates = (0.02, RATE, 0.2, 0.5)
    thresholds = [tiny(3, 3, 3, rate=rate).threshold for rate in rates]
    assert thresholds == sorted(thresholds, reverse=True) and len(set(thresholds)) > 2
    unknown = np.random.default_rng(0).permutation(1000) / 1000
    for rate in rates:
        assert (unknown > threshold_of(unknown, MANY, rate)).mean() == pytest.approx(rate, abs=2e-3)


def test_copies_of_a_file_count_once_where_the_head_is_chosen() -> None:
    (apple, book) = (shots(0, 1)[0], shots(1, 1)[0])
    heads = []
    for copies in (1, 2):
        classes = {"apple": [apple] * copies, "book": [book] * copies}
        heads.append(fit(tiny_maker("auto"), classes).chosen)
    assert heads[0] == heads[1]


def test_few_photos_that_are_all_right_do_not_make_answers_sure() -> None:
    """As if one were wrong (Platt): the likeliest temperature would go to zero."""
    fitted = fit(pixel_maker(), things(2, 2, 2))
    assert fitted.expected is not None and fitted.expected.accuracy == 1
    assert fitted.temperature > 0.05


def test_no_fit_is_of_more_than_it_may_see() -> None:
    """One fit to all, then those without a share of the photographs."""
    seen: list[np.ndarray] = []
    fit(pixel_maker(seen), things(3, 3, 2))
    assert len(seen[0]) == 8 and all(len(values) < 8 for values in seen[1:])


def test_a_calibrated_model_keeps_its_logits_and_another_gets_a_temperature() -> None:
    assert tiny(3, 3).temperature == 1
    assert fit(pixel_maker(), things(3, 3)).temperature != 1


def test_evaluation_counts_what_answers_say() -> None:
    fitted = fit(pixel_maker(), things(3, 3, 3))
    classes = {"apple": shots(0, 3, first=9), "book": shots(1, 2, first=9), "egg": shots(4, 4)}
    found = judged(fitted, classes)
    own = answer(fitted, classes["apple"] + classes["book"])
    right = [one.label == name for one, name in zip(own, ["apple"] * 3 + ["book"] * 2, strict=True)]
    assert found.scores.accuracy == pytest.approx(np.mean(right))
    assert found.accepted == pytest.approx(np.mean([one.known for one in own]))
    others = answer(fitted, classes["egg"])
    assert found.others == 4
    assert found.others_accepted == pytest.approx(np.mean([one.known for one in others]))
    above = [a.familiarity > b.familiarity for a in own for b in others]
    assert found.auroc == pytest.approx(np.mean(above))
    with pytest.raises(UserError, match="no photo is of a class of this recogniser .apple, book"):
        judged(fitted, {"egg": shots(4, 1)})


@pytest.mark.parametrize("maker", [tiny_maker(), pixel_maker()])
def test_what_is_expected_is_what_an_evaluation_of_its_own_photos_finds(maker: Maker) -> None:
    """Whether the model is calibrated, or gets a temperature."""
    fitted = fit(maker, things(3, 2, 1))
    found = on_its_own(fitted)
    assert fitted.expected is not None and fitted.expected.photos == 5
    assert found.scores.accuracy == pytest.approx(fitted.expected.accuracy)
    assert found.accepted == pytest.approx(fitted.expected.accepted)
    assert found.auroc is None and found.others == 0
