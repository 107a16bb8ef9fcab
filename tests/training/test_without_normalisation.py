"""Classifiers on bodies without batch normalisation, which have no running statistics to lack."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from metalearn.classifiers import body as begun
from metalearn.config import Config
from metalearn.data.source import Dataset
from metalearn.errors import UserError
from metalearn.records.workdir import Saved
from metalearn.training.backbone import lacks_statistics
from metalearn.training.subject import check_trainable
from metalearn.training.trained import Trained
from metalearn.types import Body
from tests.training.test_supervised import changed, colours, configured, gathered, trained
from tests.training.tiny_body import INPUTS, tiny_body

PLAIN = tiny_body(normalised=False)
TRAINED = {"partial": ["final", "stage1"], "lora": ["final", "stage1"]}
TRAINED["fine_tune"] = ["final", "stage1", "stem"]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    half = np.full(3, 0.5, np.float32)
    parts = (colours(12, 0), colours(4, 1), colours(10, 2))
    return Dataset("colours", *parts, half, half, digest="0123456789abcdef", shared=True)


@pytest.mark.parametrize("strategy", TRAINED)
def test_they_are_trained_from_a_probe(strategy: str, dataset: Dataset, tmp_path: Path) -> None:
    own = {"freeze": "stem"} if strategy == "partial" else {}
    config = configured(strategy, start="probe", **own)
    meta = trained(config, dataset, PLAIN, tmp_path / "run")
    found = set(changed(meta, PLAIN))
    assert found and found <= set(TRAINED[strategy])
    assert "moments" not in meta


def test_statistics_that_are_missing_are_told_from_none() -> None:
    usual = tiny_body()
    assert not lacks_statistics(usual) and not lacks_statistics(PLAIN)
    assert lacks_statistics(usual._replace(moments=None))
    assert lacks_statistics(usual._replace(moments=None, params=None))


def test_a_body_without_its_statistics_is_still_refused(dataset: Dataset, tmp_path: Path) -> None:
    body = tiny_body()._replace(moments=None)
    config = configured("fine_tune")
    with pytest.raises(UserError, match="this tiny has no running statistics yet"):
        check_trainable(config, gathered(config, dataset, body, tmp_path))


def given(monkeypatch: pytest.MonkeyPatch, body: Body) -> Config:
    """The config that begins with a finished run of a body, which kept no statistics."""
    config = Config(method="fine_tune", backbone="tiny", norm="running", init_from="run")
    there = Saved(dataclasses.replace(config, init_from=""), "command", (), "")
    trained = Trained({"body": body.params}, 1, INPUTS)
    monkeypatch.setattr(begun, "read_workdir", lambda path: there)
    monkeypatch.setattr(begun, "read_trained", lambda path: trained)
    monkeypatch.setattr(begun, "body_without_weights", lambda *words: body._replace(moments=None))
    return config


def test_a_finished_run_is_begun_with(monkeypatch: pytest.MonkeyPatch) -> None:
    found = begun.body_of_run(given(monkeypatch, PLAIN))
    assert found.moments is None
    jax.tree.map(np.testing.assert_array_equal, found.params, PLAIN.params)


def test_a_finished_run_without_its_statistics_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="run has no running statistics"):
        begun.body_of_run(given(monkeypatch, tiny_body()))
