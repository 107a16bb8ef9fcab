"""Heat maps: what places say adds up to the answer, and a map lies where the thing is."""

import numpy as np
import pytest

from metalearn.data.snapshots import Snapshot, from_pixels
from metalearn.models.zoo import BODIES
from metalearn.personal import heat
from metalearn.personal.answers import answer
from metalearn.personal.embedding import Embedder, embedding_of
from metalearn.personal.fitted import Fitted
from metalearn.personal.fitting import fit
from metalearn.personal.heat import (
    Places,
    heat_map,
    laid_together,
    overlay,
    place_logits,
    seer,
)
from metalearn.personal.probed import probed
from metalearn.personal.views import View, Views
from tests.training.tiny_body import tiny_body

SIDE = 32
VIEWS = Views((View(24), View(16, 0.5), View(16, 0.5, 1.0, 0.0)))
MIRRORED = VIEWS._replace(mirror=True)
COLOURS = {"blue": (20, 30, 220), "green": (30, 200, 40), "red": (220, 30, 20)}


def photo(name: str, seed: int) -> Snapshot:
    """Noise of a class's colour."""
    random = np.random.default_rng(seed)
    noise = random.integers(-20, 20, (SIDE, SIDE, 3))
    image = np.clip(np.add(COLOURS[name], noise), 0, 255)
    return from_pixels(image.astype(np.uint8), SIDE, f"{name}{seed}")


def fitted(method: str, views: Views = VIEWS) -> Fitted:
    embedding = embedding_of("tiny", tiny_body(), views)
    maker = probed(embedding.shown, Embedder(lambda: embedding), method)
    return fit(maker, {name: [photo(name, i) for i in range(4)] for name in COLOURS})


def seen_by(mine: Fitted, snapshot: Snapshot) -> tuple[Embedder, list[Places]]:
    embedder = mine.model.ask
    assert isinstance(embedder, Embedder)
    places = seer(embedder.embedding, tiny_body())(snapshot.pixels)
    assert places is not None
    return embedder, places


@pytest.mark.parametrize("views", [VIEWS, MIRRORED], ids=["as they are", "mirrored too"])
@pytest.mark.parametrize("method", ["ridge", "logistic", "centroid"])
def test_what_places_say_adds_up_to_the_logits(method: str, views: Views) -> None:
    mine = fitted(method, views)
    asked = photo("green", 9)
    (embedder, places) = seen_by(mine, asked)
    of_views = place_logits(mine, embedder.embedding, places)
    assert [view.shape for view in of_views[:: 1 + views.mirror]] == [
        (12, 12, 3),
        (8, 8, 3),
        (8, 8, 3),
    ]
    added = np.mean([view.mean((0, 1)) for view in of_views], 0)
    logits = mine.fit.logits(mine.model.ask(asked.pixels[None]))[0]
    np.testing.assert_allclose(added, logits, rtol=1e-3, atol=1e-4)
    assert np.ptp(logits) > 0.1  # or anything would agree


@pytest.mark.parametrize("mirror", [False, True], ids=["as they are", "mirrored too"])
@pytest.mark.parametrize(("left", "right"), [("red", "blue"), ("green", "red")])
def test_the_map_is_warm_where_the_answer_is(
    left: str, right: str, mirror: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BODIES, "tiny", BODIES["resnet18"])  # any: what it makes is replaced
    monkeypatch.setattr(heat, "make_body", lambda _: tiny_body())
    mine = fitted("ridge", Views((View(24), View(16, 0.5)), (), mirror))
    pixels = photo(left, 9).pixels.copy()
    edge = SIDE // 2 + 3  # so that one of them is the answer
    pixels[:, edge:] = photo(right, 9).pixels[:, edge:]
    both = from_pixels(pixels, SIDE)
    (answered,) = answer(mine, [both])
    found = heat_map(mine, both)
    assert found is not None and found.dtype == np.float32 and found.shape == (SIDE, SIDE)
    assert found.min() == 0 and found.max() == 1
    assert answered.label in (left, right)
    means = {left: found[:, :edge].mean(), right: found[:, edge:].mean()}
    assert means.pop(answered.label) > 2 * max(means.values())


def test_maps_of_views_are_laid_where_the_views_are() -> None:
    mine = fitted("ridge", MIRRORED)
    (embedder, _) = seen_by(mine, photo("red", 9))
    for place, of_view in enumerate([(0, 32, 0, 32), (8, 24, 8, 24), (16, 32, 0, 16)]):
        for turned in (False, True):
            maps = [np.zeros((4, 4), np.float32) for _ in range(6)]
            maps[2 * place + turned][0, 3 if not turned else 0] = 1  # at the top on the right
            laid = laid_together(embedder.embedding, maps, SIDE)
            (top, bottom, left, right) = of_view
            (row, column) = np.unravel_index(laid.argmax(), laid.shape)
            quarter = (bottom - top) // 4
            assert top <= row < top + quarter and right - quarter <= column < right
            assert laid.sum() == pytest.approx(SIDE**2 / 16, rel=0.2)  # however small the view


def test_bodies_whose_features_are_no_mean_over_places_have_no_map() -> None:
    mine = fitted("ridge")
    (embedder, _) = seen_by(mine, photo("red", 9))
    body = tiny_body()

    def largest(params: object, x: np.ndarray, **ends: str) -> np.ndarray:
        z = body.run(params, x, **ends)
        return z.at[..., 0].mul(1 if len(z) > 1 or z.ndim > 2 else 2)

    pooled_otherwise = body._replace(run=largest)
    assert seer(embedder.embedding, pooled_otherwise)(photo("red", 9).pixels) is None
    without_maps = body._replace(stages=("stem", "final", "final"))
    assert seer(embedder.embedding, without_maps)(photo("red", 9).pixels) is None


def test_bodies_that_are_not_of_the_zoo_have_no_map() -> None:
    assert heat_map(fitted("ridge"), photo("red", 9)) is None


def test_the_overlay_is_grey_where_it_is_cold() -> None:
    pixels = photo("red", 0).pixels
    heat = np.zeros((SIDE, SIDE), np.float32)
    heat[:, SIDE // 2 :] = 1
    shown = np.asarray(overlay(pixels, heat)).astype(int)
    assert shown.shape == pixels.shape
    assert np.ptp(shown[:, : SIDE // 2], axis=-1).max() == 0
    assert np.ptp(shown[:, SIDE // 2 :], axis=-1).min() > 80
