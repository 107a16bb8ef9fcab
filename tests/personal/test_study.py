"""Draws of classes and photographs of a dataset, and recognisers of them."""

import dataclasses

import numpy as np
import pytest

from metalearn.data.labels import Part
from metalearn.errors import UserError
from metalearn.personal.model import Kept
from metalearn.personal.study import Outcome, Protocol, check_protocol, draw, outcomes, pooled
from tests.personal.made import PIXELS, pixel_maker

TRAIN = Part("train", np.arange(24), np.array([4, 4, 4, 4, 4, 4], np.int32))
TEST = Part("test", np.arange(15), np.array([3, 3, 3, 3, 3, 0], np.int32))
PROTOCOL = Protocol(ways=3, labels=2, unknown=2, draws=5, seed=0, unknown_rate=0.1)


def images(part: Part) -> np.ndarray:
    """Photographs of one colour a class."""
    values = 40 * (part.labels + 1)
    return np.broadcast_to(values[:, None, None, None], (len(values), PIXELS, PIXELS, 3)).astype(
        np.uint8
    )


def done() -> list[Outcome]:
    train = (TRAIN, Kept(images(TRAIN)))
    names = tuple("abcdef")
    return list(outcomes(PROTOCOL, pixel_maker(), names, train, (TEST, images(TEST))))


@pytest.mark.parametrize("number", range(5))
def test_a_draw_has_its_classes_photos_and_no_others(number: int) -> None:
    found = draw(PROTOCOL, number, TRAIN, TEST)
    assert len(found.classes) == 3 and 5 not in found.classes
    np.testing.assert_array_equal(TRAIN.labels[found.fitted], found.classes[found.labels])
    np.testing.assert_array_equal(np.bincount(found.labels), [2, 2, 2])
    np.testing.assert_array_equal(TEST.labels[found.tested], found.classes[found.true])
    assert len(found.tested) == 9
    assert len(np.unique(TEST.labels[found.others])) == 2
    assert not np.isin(TEST.labels[found.others], found.classes).any()


def test_a_draw_is_the_same_again_and_others_are_not() -> None:
    one, again, other = (draw(PROTOCOL, number, TRAIN, TEST) for number in (1, 1, 2))
    np.testing.assert_array_equal(one.fitted, again.fitted)
    assert one.fitted.tolist() != other.fitted.tolist()


def test_fewer_photos_of_a_draw_are_among_more() -> None:
    few = draw(PROTOCOL._replace(labels=1), 3, TRAIN, TEST)
    more = draw(PROTOCOL._replace(labels=3), 3, TRAIN, TEST)
    assert set(few.fitted) <= set(more.fitted)


def test_all_classes_are_known_with_no_number_of_ways() -> None:
    found = draw(PROTOCOL._replace(ways=0, unknown=0), 0, TRAIN, TEST)
    assert found.classes.tolist() == [0, 1, 2, 3, 4, 5] and not len(found.others)


@pytest.mark.parametrize(("ways", "unknown"), [(1, 0), (4, 2), (0, 1)])
def test_too_few_classes_are_said(ways: int, unknown: int) -> None:
    with pytest.raises(UserError, match="classes"):
        check_protocol(PROTOCOL._replace(ways=ways, unknown=unknown), TEST)


def test_unlabelled_photos_are_of_the_classes_of_a_draw() -> None:
    """And the rest of the draw is what it is without them."""
    alike = Part("train", np.arange(30), np.array([5, 5, 5, 5, 5, 5], np.int32))
    found = draw(PROTOCOL._replace(unlabelled=10), 2, TRAIN, TEST, alike)
    plain = draw(PROTOCOL, 2, TRAIN, TEST)
    assert (
        len(found.unlabelled) == 10 and np.isin(alike.labels[found.unlabelled], found.classes).all()
    )
    assert not len(plain.unlabelled)
    for name in ("classes", "fitted", "tested", "others"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))


def test_recognisers_of_plain_colours_are_right() -> None:
    assert [one.evaluation.scores.accuracy for one in done()] == [1.0] * 5


def test_pooled_shares_are_those_of_all_photos() -> None:
    found = done()
    known = np.concatenate([one.familiarity >= one.fitted.threshold for one in found])
    together = pooled(found)
    assert together.accepted == pytest.approx(known.mean())
    assert not known.any() and together.right_of_accepted is None


def test_shares_of_accepted_photos_are_over_all_draws() -> None:
    """By hand: of 4 photos of two draws 3 are familiar enough, 2 of these right."""
    (first, second) = done()[:2]
    logits = np.array([[2.0, 0.0], [2.0, 0.0]])
    threshold = dataclasses.replace(first.fitted, threshold=0.5)
    draws = [
        each._replace(fitted=threshold, logits=logits, true=np.array(true), familiarity=known)
        for each, true, known in (
            (first, [0, 1], np.array([0.6, 0.7])),
            (second, [0, 0], np.array([0.9, 0.1])),
        )
    ]
    found = pooled(draws)
    assert found.accepted == 0.75 and found.right_of_accepted == pytest.approx(2 / 3)
    sure = 1 / (1 + np.exp(-2))
    assert found.ece == pytest.approx(abs(sure - 0.75))
