"""Recipes: each names settings that exist, and builds the method it is of."""

import dataclasses

import pytest

from metalearn.config import Config
from metalearn.data import READERS
from metalearn.learners.method import make_method
from metalearn.learners.recipes import PUBLISHED
from metalearn.learners.registry import METHODS, PRETRAINED, preset
from metalearn.models import BACKBONES
from metalearn.ops.optimizers import make_optimizer


def test_every_method_has_a_recipe() -> None:
    assert len(METHODS) >= 25 and all(preset(method, "folder", 1) for method in METHODS)


def test_recipes_name_settings_that_their_method_reads() -> None:
    for method, entry in METHODS.items():
        for dataset in READERS:
            for shots in (1, 5):
                named = preset(method, dataset, shots).keys()
                assert named <= entry.settings.__dataclass_fields__.keys(), method


def test_recipes_are_of_datasets_there_are() -> None:
    assert set(PUBLISHED) <= READERS.keys()


def test_recipes_of_other_datasets_and_of_unknown_methods() -> None:
    assert preset("reptile", "folder", 5) == preset("reptile", "cifar_fs", 1)
    assert preset("reptile", "cifar_fs", 10) == preset("reptile", "cifar_fs", 5)
    assert preset("mamba", "cifar_fs", 1) == {}


@pytest.mark.parametrize("dataset", [*READERS, "tfds:svhn_cropped"])
@pytest.mark.parametrize("method", METHODS)
def test_every_recipe_builds(method: str, dataset: str) -> None:
    for shots in (1, 5):
        chosen = preset(method, dataset, shots) | {
            "method": method,
            "dataset": dataset,
            "shots": shots,
        }
        config = dataclasses.replace(Config(), **chosen).with_defaults()
        assert config.backbone in BACKBONES
        make_optimizer(config)
        built = make_method(config, 64)
        assert built.supervised == (method in PRETRAINED)
        assert [built.test(norm) for norm in built.norms]
        assert config.steps >= config.valid_every
        assert not built.supervised or config.batch_size % config.meta_batch == 0


@pytest.mark.parametrize("dataset", READERS)
def test_recipes_of_fomaml_and_anil_are_that_of_maml(dataset: str) -> None:
    for shots in (1, 2, 3, 10):
        maml = preset("maml", dataset, shots)
        assert "first_order" not in maml
        assert [preset(name, dataset, shots) for name in ("fomaml", "anil")] == [maml] * 2


@pytest.mark.parametrize(
    "dataset", ["omniglot", "glyphs", "mnist", "usps", "tfds:emnist/letters", "tfds:svhn_cropped"]
)
@pytest.mark.parametrize("method", METHODS)
def test_recipes_for_characters_do_not_augment(method: str, dataset: str) -> None:
    """A mirrored character may be another, or look like one turned by a quarter, which is another
    class on Omniglot.
    """
    for shots in (1, 5):
        chosen = preset(method, dataset, shots)
        config = dataclasses.replace(
            Config(), **chosen | {"method": method, "dataset": dataset}
        ).with_defaults()
        assert config.augment == "none" and config.support_copies == 1  # copies are mirrored


@pytest.mark.parametrize("dataset", ["mnist", "labelled_tfds:kmnist", "tfds:mnist:3.0.1"])
@pytest.mark.parametrize("strategy", ["fine_tune", "scratch"])
def test_classifiers_of_digits_do_not_mirror(strategy: str, dataset: str) -> None:
    assert preset(strategy, dataset, 0)["augment"] == "none"
    assert "flip" in preset(strategy, "tfds:eurosat/rgb", 0)["augment"]


# The numbers of papers and released code, written down apart from the presets; rates are of mean
# losses.
SOURCES = {
    ("maml", "cifar_fs", 1): dict(
        backbone="conv4-32", inner_lr=0.05, inner_steps=5, test_inner_steps=10, meta_batch=4
    ),
    ("maml", "omniglot", 1): dict(
        inner_steps=1, test_inner_steps=3, train_queries=1, meta_batch=32, steps=60_000
    ),
    ("boil", "cifar_fs", 5): dict(backbone="conv4-64", inner_lr=0.5, inner_steps=1, meta_batch=4),
    ("reptile", "omniglot", 1): dict(
        inner_lr=1e-3, inner_steps=5, test_inner_steps=50, train_shots=10, meta_batch=5
    ),
    ("reptile", "omniglot", 5): dict(test_inner_batch=5, test_inner_steps=50),
    ("maml++", "mini_imagenet", 1): dict(
        backbone="conv4-48", inner_lr=0.1, inner_steps=5, steps=50_000
    ),
    ("protonet", "omniglot", 5): dict(
        train_ways=60, train_queries=5, lr=1e-3, schedule="halve:2000"
    ),
    ("protonet", "mini_imagenet", 1): dict(train_ways=30),
    ("protonet", "mini_imagenet", 5): dict(train_ways=20),
    ("r2d2", "cifar_fs", 1): dict(
        backbone="conv4-512", train_ways=20, lr=5e-3, scale=10.0, schedule="halve:2000"
    ),
    ("r2d2", "cifar_fs", 5): dict(
        train_shots=5, train_queries=7, most_train_shots=9, initial="torch"
    ),
    ("r2d2", "omniglot", 1): dict(
        backbone="conv4-512-28px", train_ways=60, train_queries=5, scale=10.0
    ),
    ("r2d2", "mini_imagenet", 1): dict(train_ways=16, scale=1e-4),
    ("metaoptnet", "cifar_fs", 1): dict(
        train_shots=5, train_queries=6, lr=0.1, weight_decay=5e-4, meta_batch=8
    ),
    ("metaoptnet", "cifar_fs", 5): dict(
        schedule="steps:0.06@0.33333,0.2@0.66667,0.2@0.83333", decay="all"
    ),
    ("metaoptnet", "mini_imagenet", 5): dict(train_shots=15, label_smoothing=0.1),
    ("rfs", "cifar_fs", 5): dict(
        backbone="conv4-64-rfs", lr=0.05, weight_decay=5e-4, batch_size=64, support_copies=5
    ),
    ("rfs", "cifar_fs", 1): dict(
        steps=54_000,
        schedule="steps:0.1@0.5,0.1@0.66667,0.1@0.83333",
        decay="all",
        nesterov=False,
        initial="he",
    ),
    ("rfs", "fc100", 5): dict(steps=50_580, schedule="steps:0.1@0.5,0.1@0.66667,0.1@0.83333"),
    ("rfs", "mini_imagenet", 5): dict(steps=60_000, schedule="steps:0.1@0.6,0.1@0.8"),
    ("transductive_finetune", "cifar_fs", 1): dict(inner_lr=5e-5, test_inner_steps=25),
}


@pytest.mark.parametrize("key", SOURCES, ids=str)
def test_recipes_are_as_published(key: tuple[str, str, int]) -> None:
    assert SOURCES[key].items() <= preset(*key).items()
