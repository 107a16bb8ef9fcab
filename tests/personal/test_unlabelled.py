"""Recognisers fitted to photographs of one kind for those of another."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from metalearn.data.snapshots import Snapshot, from_pixels
from metalearn.domains.moved import MOVES
from metalearn.errors import UserError
from metalearn.personal.changing import added, removed
from metalearn.personal.evaluating import judged
from metalearn.personal.fitting import fit, fitted_to
from metalearn.personal.opening import load_fitted, save_fitted
from metalearn.personal.shown import fitted_text
from metalearn.personal.unknown import NEVER, left_out_classes, threshold_of
from metalearn.personal.unlabelled import Unlabelled, among_unlabelled
from tests.personal.made import NAMES, PIXELS, picture, shots, things, tiny_maker

CLASSES = 3


def dim(label: int, number: int) -> Snapshot:
    """A photograph of a class in another light."""
    pixels = 0.6 * picture(label, number) + 30
    return from_pixels(pixels.astype(np.uint8), PIXELS, f"dim {NAMES[label]}{number}.png")


DIM = [dim(label, number) for label in range(CLASSES) for number in range(20, 28)]
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
    again = among_unlabelled(fitted.photos, values, CLASSES, "recentre")
    np.testing.assert_allclose(again.kept.values, own, atol=4e-3)


def test_what_is_unknown_is_told_by_the_unlabelled_and_stays() -> None:
    """Each asked of a recogniser without the class that it is taken for."""
    unlabelled = [dim(label, number) for label in range(6) for number in range(20, 26)]
    classes = things(*[3] * 6)
    fitted = fit(tiny_maker(), classes, 0.2, Unlabelled(unlabelled))
    values = fitted.model.ask(np.stack([one.pixels for one in unlabelled]))
    taken = fitted.fit.logits(values).argmax(1)
    own = fitted.photos
    fitting = partial(fitted_to, fitted.model, fitted.temperature)
    found = left_out_classes(fitting, own.kept.values, own.labels, 6, (values, taken))
    assert fitted.threshold == threshold_of(found, 6, 0.2)
    assert fitted.threshold != fit(tiny_maker(), classes, 0.2).threshold
    after = added(fitted, {NAMES[1]: [dim(1, 0)]})
    assert after.threshold == fitted.threshold
    assert fit(tiny_maker(), classes, 1.0, Unlabelled(unlabelled)).threshold == NEVER


def test_a_file_keeps_what_was_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = fit(tiny_maker(), things(2, 2), 0.05, Unlabelled(DIM[:6]))
    assert "moved: recentre by 6 unlabelled photos" in fitted_text(fitted)
    monkeypatch.setattr("metalearn.personal.opening._open", lambda *_: tiny_maker())
    save_fitted(fitted, tmp_path / "mine")
    found = load_fitted(tmp_path / "mine")
    assert found.moved == fitted.moved
    np.testing.assert_array_equal(found.photos.kept.values, fitted.photos.kept.values)


def test_photos_that_are_added_stay_where_they_are() -> None:
    """They are of the kind that is asked; those of before stay moved."""
    before = fit(tiny_maker(), things(2, 2), 0.05, Unlabelled(DIM[:6]))
    new = dim(1, 0)
    after = added(before, {NAMES[1]: [new]})
    (place,) = [i for i, digest in enumerate(after.photos.digests) if digest == new.digest]
    plain = after.model.keep(new.pixels[None]).values[0]
    np.testing.assert_array_equal(after.photos.kept.values[place], plain)
    assert after.moved == before.moved == removed(added(before, things(0, 0, 2)), NAMES[2]).moved


@pytest.mark.parametrize(
    ("unlabelled", "message"),
    [
        (Unlabelled(DIM[:4]), "4 unlabelled photos: give 5 or more"),
        (Unlabelled(DIM, "subspace"), "unknown way to adapt 'subspace': choose one of recentre"),
        (Unlabelled(shots(0, 1) * 5), "all images of the target have the same features"),
    ],
)
def test_what_does_not_fit_is_said(unlabelled: Unlabelled, message: str) -> None:
    with pytest.raises(UserError, match=message):
        fit(tiny_maker(), things(2, 2), 0.05, unlabelled)
