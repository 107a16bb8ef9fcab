"""Features of photographs kept on disk."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from metalearn.personal.embedding import Embedder
from metalearn.personal.feature_cache import FeatureCache
from tests.personal.made import picture, tiny_embedder

IMAGES = np.stack([picture(label, 0) for label in range(3)])


class Counting(Embedder):
    """Counts the photographs whose features it computes."""

    number = 0

    def _computed(self, run: object, images: np.ndarray, size: int) -> np.ndarray:
        self.number += len(images)
        return super()._computed(run, images, size)


@pytest.fixture
def embedder(tmp_path: Path) -> Iterator[Counting]:
    yield Counting(lambda: tiny_embedder().embedding, tmp_path)


def test_features_are_computed_once(embedder: Counting) -> None:
    first = embedder(IMAGES[:2], fitted=True)
    both = embedder(IMAGES, fitted=True)
    assert embedder.number == 3
    np.testing.assert_array_equal(both[:2], first)


def test_features_that_are_kept_are_those_computed(embedder: Counting) -> None:
    embedder(IMAGES, fitted=True)
    kept = embedder(IMAGES, fitted=True)
    np.testing.assert_array_equal(kept, tiny_embedder()(IMAGES, fitted=True))


def test_features_do_not_depend_on_what_is_computed_beside(embedder: Counting) -> None:
    images = np.stack([picture(label, number) for label in range(4) for number in range(5)])
    alone = [tiny_embedder()(some[None], fitted=True) for some in images]
    np.testing.assert_array_equal(embedder(images, fitted=True), np.concatenate(alone))


def test_features_of_photos_that_are_asked_about_are_not_kept(
    embedder: Counting, tmp_path: Path
) -> None:
    embedder(IMAGES)
    assert list(tmp_path.rglob("*.npy")) == []


@pytest.mark.parametrize("contents", [b"", b"no features", None], ids=["empty", "text", "shape"])
def test_damaged_features_are_computed_again(
    embedder: Counting, tmp_path: Path, contents: bytes | None
) -> None:
    whole = embedder(IMAGES[:1], fitted=True)
    (path,) = tmp_path.rglob("*.npy")
    if contents is None:
        np.save(path, np.zeros(3, np.float32))
    else:
        path.write_bytes(contents)
    np.testing.assert_array_equal(embedder(IMAGES[:1], fitted=True), whole)


def test_a_folder_that_cannot_be_written_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = FeatureCache(tmp_path / "file" / "below", 2)
    cache.write(IMAGES[0], np.zeros(2, np.float32))
    assert cache.read(IMAGES[0]) is None
