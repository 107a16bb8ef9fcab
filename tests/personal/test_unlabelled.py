"""Recognisers fitted to photographs of one kind for those of another."""

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from metalearn.data.snapshots import Snapshot, from_pixels
from metalearn.domains.moved import MOVES
from metalearn.errors import UserError
from metalearn.personal.changing import added, removed
from metalearn.personal.evaluating import judged, known_of_alike
from metalearn.personal.fitted import Fitted, Photos
from metalearn.personal.fitting import fit, fitted_to
from metalearn.personal.model import rounded
from metalearn.personal.opening import load_fitted, save_fitted
from metalearn.personal.shown import fitted_text
from metalearn.personal.unknown import NEVER, left_out_classes, threshold_of
from metalearn.personal.unlabelled import MOST, Unlabelled, among_unlabelled
from tests.personal.made import NAMES, PIXELS, picture, shots, things, tiny_maker

CLASSES = 3


def dim(label: int, number: int) -> Snapshot:
    """A photograph of a class in another light."""
    pixels = 0.3 * picture(label, number) + 30
    return from_pixels(pixels.astype(np.uint8), PIXELS, f"dim {NAMES[label]}{number}.png")


DIM = [dim(label, number) for label in range(CLASSES) for number in range(20, 28)]
SAME = [shot._replace(digest=str(number)) for number, shot in enumerate(shots(0, 1) * 5)]
TESTED = {NAMES[label]: [dim(label, number) for number in range(10)] for label in range(CLASSES)}


def accuracy(unlabelled: Unlabelled | None) -> float:
    fitted = fit(tiny_maker("centroid"), things(4, 4, 4), 0.05, unlabelled)
    return judged(fitted, TESTED).scores.accuracy


@pytest.mark.parametrize("how", MOVES)
def test_unlabelled_photos_of_another_light_help(how: str) -> None:
    assert accuracy(Unlabelled(DIM, how)) > accuracy(None) + 0.1


def test_moved_features_lie_about_the_mean_of_the_unlabelled() -> None:
    fitted = fit(tiny_maker(), things(4, 4, 4), 0.05, Unlabelled(DIM))
    values = fitted.model.ask(np.stack([one.pixels for one in DIM]))
    own = fitted.photos.kept.values
    np.testing.assert_allclose(own.mean(0), values.mean(0), atol=2e-3)  # 8 bits a feature
    (again, _) = among_unlabelled(fitted.photos, values, CLASSES, "recentre")
    np.testing.assert_allclose(again.kept.values, own, atol=4e-3)


def told(fitted: Fitted, rate: float) -> float:
    """The threshold by a recogniser's unlabelled photographs, each without its class."""
    assert fitted.alike is not None
    asked = fitted.alike.kept.values
    own = fitted.photos
    fitting = partial(fitted_to, fitted.model, fitted.temperature)
    with_class = (asked, fitted.fit.logits(asked).argmax(1))
    number = len(fitted.classes)
    found = left_out_classes(fitting, own.kept.values, own.labels, number, with_class)
    return threshold_of(found, len(np.unique(with_class[1])), rate)


def test_what_is_unknown_is_told_by_the_unlabelled_also_after_a_change() -> None:
    """Each asked of a recogniser without the class that it is taken for."""
    unlabelled = [dim(label, number) for label in range(6) for number in range(20, 26)]
    classes = things(*[3] * 6)
    fitted = fit(tiny_maker(), classes, 0.2, Unlabelled(unlabelled))
    assert fitted.threshold == told(fitted, 0.2) != fit(tiny_maker(), classes, 0.2).threshold
    after = added(fitted, {NAMES[1]: [dim(1, 0)]})
    assert after.threshold == told(after, 0.2) != fitted.threshold
    assert fit(tiny_maker(), classes, 1.0, Unlabelled(unlabelled)).threshold == NEVER


def test_how_many_of_the_unlabelled_are_known_is_said() -> None:
    fitted = fit(tiny_maker("centroid"), things(1, 1, 1), 0.05, Unlabelled(DIM))
    known = known_of_alike(fitted)
    assert known is not None and f"; {100 * known:.1f} % of the unlabelled" in fitted_text(fitted)
    few = dataclasses.replace(fitted, threshold=10.0)
    assert known_of_alike(few) == 0 and "knows more of them" in fitted_text(few)
    assert known_of_alike(fit(tiny_maker(), things(2, 2))) is None


def test_some_of_many_unlabelled_photos_are_kept() -> None:
    many = np.random.default_rng(0).normal(size=(MOST + 50, 8)).astype(np.float32)
    photos = Photos((), np.arange(4) % 2, (), (), rounded(many[:4]))
    (_, alike) = among_unlabelled(photos, many, 2, "recentre")
    assert alike.kept.values.shape == (MOST, 8) and "by 150 unlabelled photos" in alike.said
    np.testing.assert_allclose(alike.kept.values[[0, -1]], many[[0, -1]], atol=0.02)


def test_a_file_keeps_what_was_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = fit(tiny_maker(), things(2, 2), 0.05, Unlabelled(DIM[:6]))
    assert "moved: recentre by 6 unlabelled photos" in fitted_text(fitted)
    monkeypatch.setattr("metalearn.personal.opening._open", lambda *_: tiny_maker())
    save_fitted(fitted, tmp_path / "mine")
    found = load_fitted(tmp_path / "mine")
    assert found.alike is not None and fitted.alike is not None
    assert found.alike.said == fitted.alike.said
    np.testing.assert_array_equal(found.alike.kept.values, fitted.alike.kept.values)
    np.testing.assert_array_equal(found.photos.kept.values, fitted.photos.kept.values)
    more = {NAMES[2]: shots(2, 2)}
    assert added(found, more).threshold == added(fitted, more).threshold


def test_photos_that_are_added_stay_where_they_are() -> None:
    """They are of the kind that is asked; those of before stay moved."""
    before = fit(tiny_maker(), things(2, 2), 0.05, Unlabelled(DIM[:6]))
    new = dim(1, 0)
    after = added(before, {NAMES[1]: [new]})
    (place,) = [i for i, digest in enumerate(after.photos.digests) if digest == new.digest]
    plain = after.model.keep(new.pixels[None]).values[0]
    np.testing.assert_array_equal(after.photos.kept.values[place], plain)
    without = removed(added(before, things(0, 0, 2)), NAMES[2])
    assert after.alike is before.alike is without.alike


@pytest.mark.parametrize(
    ("unlabelled", "message"),
    [
        (Unlabelled(DIM[:4]), "4 unlabelled photos: give 5 or more"),
        (Unlabelled(DIM[:4] * 2), "4 unlabelled photos"),
        (Unlabelled(DIM, "subspace"), "'subspace' moves no photos: choose one of recentre"),
        (Unlabelled(SAME), "all unlabelled photos look the same to the body"),
    ],
)
def test_what_does_not_fit_is_said(unlabelled: Unlabelled, message: str) -> None:
    with pytest.raises(UserError, match=message):
        fit(tiny_maker(), things(2, 2), 0.05, unlabelled)
