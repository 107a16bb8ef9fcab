"""Opening a dataset by name: what is told each time, and what serves on."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import metalearn.data
from metalearn.data.cache import contents_of, digest_of
from metalearn.data.source import Dataset, Prepared, Reader, Split

Patch = pytest.MonkeyPatch


def make_splits() -> dict[str, Split]:
    """Three splits of two classes, 3 and 2 images of 4x4x3."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 5, 4, 4, 3), np.uint8)
    counts = np.array([3, 2], np.int32)
    names = ("train", "valid", "test")
    return {name: Split(images[i], counts, ("a", "b")) for i, name in enumerate(names)}


def test_shared_classes_are_kept_in_the_cache_and_not_assumed_of_an_old_one(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    told = Prepared(make_splits(), shared=True, by_seed=True)
    reader = Reader(lambda _: told, (), 1, 1, lambda _: "same")
    monkeypatch.setattr("metalearn.data.find_reader", lambda *_: reader)
    assert all(metalearn.data.load("told", cache_dir=tmp_path).shared for _ in range(2))
    (path,) = tmp_path.glob("*/info.json")
    info = json.loads(path.read_text())
    del info["shared"]
    path.write_text(json.dumps(info))
    old = metalearn.data.load("told", cache_dir=tmp_path)
    assert not old.shared and old.digest == info["digest"]


def test_more_classes_help_only_where_a_seed_shares_out_the_classes() -> None:
    one = np.ones(3, np.float32)
    dataset = Dataset("x", *make_splits().values(), mean=one, std=one, by_seed=True)
    assert dataset.more_by_seed and not dataset._replace(shared=True).more_by_seed


def test_contents_of_shared_classes_do_not_depend_on_who_is_in_which_split() -> None:
    splits = make_splits()
    swapped = {**splits, "valid": splits["test"], "test": splits["valid"]}
    assert digest_of(splits) != digest_of(swapped)
    assert contents_of(splits, shared=True) == contents_of(swapped, shared=True)
    swapped["test"] = Split(splits["test"].images.copy(), *splits["test"][1:])
    swapped["test"].images[0, 0, 0, 0] ^= 1
    assert contents_of(splits, shared=True) != contents_of(swapped, shared=True)


def no_call() -> dict[str, Split]:
    """A `prepare` that must not be needed."""
    raise AssertionError("prepared again")


def test_lasting_cache_of_another_version_is_used(tmp_path: Path, monkeypatch: Patch) -> None:
    """A finished run can be tested after an upgrade: its images are there."""

    def load(version: str, prepare: Callable[[], dict[str, Split]]) -> Dataset:
        reader = Reader(lambda _: prepare(), (), 1, 1, lambda _: version, lasting=True)
        monkeypatch.setattr("metalearn.data.find_reader", lambda *_: reader)
        return metalearn.data.load("drawn", cache_dir=tmp_path)

    def earlier() -> Prepared:
        return Prepared(make_splits(), decoder="pillow 1.0")

    first = load("1.0", earlier)
    second = load("2.0", no_call)
    assert first.digest == second.digest and second.decoder == "pillow 1.0"
    assert second.name == "drawn"


def test_notes_are_printed_from_the_cache_too(
    tmp_path: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = make_splits()
    flat["train"].images[..., 1] = 7
    told = Prepared(flat, ["warning: some word"], by_seed=True)
    reader = Reader(lambda _: told, (), 1, 1, lambda _: "same")
    monkeypatch.setattr("metalearn.data.find_reader", lambda *_: reader)
    for _ in range(2):
        dataset = metalearn.data.load("told", cache_dir=tmp_path)
        assert dataset.by_seed and dataset.notes == ("warning: some word",)
        assert capsys.readouterr().err.splitlines() == [
            "warning: some word",
            "note: channel 2 of 3, the same in all pixels of the training split, becomes 0",
        ]
