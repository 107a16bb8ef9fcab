"""Recipes: each names settings that exist, and builds the method it is of."""

import dataclasses

import pytest

from metalearn.config import Config
from metalearn.data import READERS
from metalearn.methods import METHODS, make_method
from metalearn.models import BACKBONES
from metalearn.optimizers import make_optimizer
from metalearn.presets import DEFAULTS, PRESETS, SUPERVISED, preset


def test_every_method_has_a_default() -> None:
    assert DEFAULTS.keys() == METHODS.keys()


def test_recipes_are_of_methods_and_datasets_there_are() -> None:
    assert {method for method, _, _ in PRESETS} <= METHODS.keys()
    assert {dataset for _, dataset, _ in PRESETS} <= READERS.keys()


@pytest.mark.parametrize("dataset", [*READERS, "tfds:svhn_cropped"])
@pytest.mark.parametrize("method", METHODS)
def test_every_recipe_builds(method: str, dataset: str) -> None:
    for shots in (1, 5):
        chosen = preset(method, dataset, shots) | {"method": method, "dataset": dataset, "shots": shots}
        config = dataclasses.replace(Config(), **chosen).with_defaults()
        assert config.backbone in BACKBONES
        make_optimizer(config)
        built = make_method(config, 64)
        assert built.supervised == (method in SUPERVISED)
        assert [built.test(norm) for norm in built.norms]
        assert config.steps >= config.valid_every
        assert not built.supervised or config.batch_size % config.meta_batch == 0


@pytest.mark.parametrize("dataset", READERS)
def test_names_keep_what_they_mean(dataset: str) -> None:
    for shots in (1, 2, 3, 10):
        maml = preset("maml", dataset, shots)
        assert "first_order" not in maml
        assert [preset(name, dataset, shots) for name in ("fomaml", "anil", "boil")] == [maml] * 3
