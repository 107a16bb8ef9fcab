"""Settings: those of each method, all of them together, and the order in which records have them."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from metalearn.config import ORDER, Config, in_order
from metalearn.data.augment import TRANSFORMS
from metalearn.errors import UserError
from metalearn.learners import imaml, maml, protonet, reptile
from metalearn.learners.method import make_method
from metalearn.learners.registry import CLASSIFYING, METHODS, STRATEGIES, readers
from metalearn.records.record import settings
from metalearn.records.store import read_record
from metalearn.settings import Common, narrowed

RESULTS = Path(__file__).resolve().parent.parent / "results"
RECORDS = [p for p in sorted(RESULTS.glob("*/*.json")) if p.parent.name != "benchmarks"]


def test_help_names_every_transform() -> None:
    told = {f.name: f.metadata["help"] for f in fields(Config)}
    assert all(name in told["augment"] for name in TRANSFORMS)


@pytest.mark.parametrize("method", METHODS)
def test_config_has_the_settings_of_every_method(method: str) -> None:
    """One that has settings of its own is named among the bases of `Config`."""
    assert issubclass(Config, METHODS[method].settings)


@pytest.mark.parametrize(
    "chosen",
    [
        maml.Settings(method="anil", backbone="conv2-8"),
        reptile.Settings(method="reptile", backbone="conv2-8", inner_batch=2),
        protonet.Settings(method="protonet", backbone="conv2-8", norm="running"),
    ],
    ids=lambda chosen: chosen.method,
)
def test_method_is_built_of_its_own_settings_alone(chosen: Common) -> None:
    assert make_method(chosen.with_defaults(), 8).norms


def test_method_without_its_settings_is_refused() -> None:
    with pytest.raises(AttributeError, match="proximal"):
        make_method(maml.Settings(method="imaml").with_defaults(), 8)


def test_readers_of_a_setting_are_the_methods_that_have_it() -> None:
    assert readers("proximal") == ["imaml"]
    assert readers("scale") == ["protonet", "matchingnet", "r2d2"]
    assert readers("seed") == [*METHODS, *CLASSIFYING]
    assert readers("episodes") == list(METHODS) and readers("labels") == list(STRATEGIES)


def test_narrowed_settings_keep_values_and_drop_those_of_other_methods() -> None:
    config = Config(method="imaml", proximal=3.0, context=7)
    own = narrowed(config, imaml.Settings)
    assert own == imaml.Settings(method="imaml", proximal=3.0)
    assert not hasattr(own, "context")


def test_settings_at_test_have_the_inner_loop_of_a_test() -> None:
    chosen = reptile.Settings(inner_batch=10, test_inner_batch=5, inner_steps=1, test_inner_steps=4)
    tested = chosen.at_test()
    assert (tested.inner_steps, tested.inner_batch) == (4, 5)


def test_settings_fill_in_defaults_that_follow_others() -> None:
    assert Common().with_defaults() == Common()
    filled = Config(ways=7, shots=2, train_shots=3).with_defaults()
    assert (filled.train_ways, filled.train_shots) == (7, 3)


def test_numbers_are_checked_in_every_class_of_settings() -> None:
    with pytest.raises(UserError, match="--cg_steps must be at least 1, not 0"):
        imaml.Settings(cg_steps=0).with_defaults().check()


def test_every_setting_is_ordered_once_and_newer_ones_follow() -> None:
    assert len(set(ORDER)) == len(ORDER)
    assert set(ORDER) <= {f.name for f in fields(Config)}
    assert in_order(["newer", "valid_every", "method"]) == ["method", "valid_every", "newer"]


def test_records_keep_the_order_of_settings() -> None:
    """Identities are made of settings in this order: with another one, no test would be known
    again.
    """
    assert len(RECORDS) > 100
    for path in RECORDS:
        written = json.loads(path.read_text())["config"]
        read = settings(read_record(path).config)
        assert [name for name in read if name in written] == list(written), path


def test_help_of_a_setting_has_one_line() -> None:
    for f in fields(Config):
        assert f.metadata["help"] and "\n" not in f.metadata["help"], f.name
